/** The only list of what is compared, in the order in which it runs. */
import type { Contender } from "./contender.ts";
import { article } from "./contenders/article.ts";
import { bareBun, bareC, bareSafe } from "./contenders/bare.ts";
import { cp } from "./contenders/cp.ts";
import { framepipe, framepipeInto, framepipeWithKeys } from "./contenders/framepipe.ts";
import { iperf3 } from "./contenders/iperf3.ts";
import { jetstream } from "./contenders/jetstream.ts";
import { nginxCurl } from "./contenders/nginx-curl.ts";
import { rsync, rsyncFsync } from "./contenders/rsync.ts";
import { tarNetcat, tarSocat, tarSocatTls } from "./contenders/tar.ts";
import { zeromq, zeromqReply } from "./contenders/zeromq.ts";

/** `executable` is framepipe's, `before` that of an earlier build. */
export function contenders(executable: string, before?: string): readonly Contender[] {
  const earlier = before === undefined ? [] : [framepipe(before, true)];
  const variants = (["null", "tar", "mcap"] as const).map((into) => framepipeInto(executable, into));
  const safe = [rsync, rsyncFsync, zeromqReply, jetstream];
  const others = [tarSocat, tarNetcat, nginxCurl, zeromq, bareSafe, bareBun, bareC, cp, iperf3, article];
  return [
    framepipe(executable),
    ...earlier,
    ...variants,
    framepipeWithKeys(executable),
    tarSocatTls,
    ...safe,
    ...others,
  ];
}
