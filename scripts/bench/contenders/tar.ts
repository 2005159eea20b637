/** tar piped through a program that copies bytes to a connection: socat, or OpenBSD's netcat. */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import type { SetKind } from "../frame-sets.ts";
import { writeCertificate } from "../keys.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";

interface TarOptions {
  readonly name: string;
  readonly kinds: readonly SetKind[];
  readonly role?: "reference";
  /** Beside none. */
  readonly guarantees?: string;
  missing(): string | undefined;
  /** `certificate`: a file with one and its key. */
  listen(port: number, certificate: string): string[];
  connect(port: number): string[];
}

function tarThrough({ name, kinds, role, guarantees = "", missing, listen, connect }: TarOptions): Contender {
  const none = "none: no checksum, no resume, no word from the receiver; time to the end of the receiving tar";
  return {
    name,
    role: role ?? "peer",
    safe: false,
    guarantees: none + guarantees,
    kinds,
    missing: () => (Bun.which("tar") === null ? "tar" : missing()),
    async run(job) {
      const { set, dest, stage } = job;
      const port = freePort();
      const down = stage.pipe();
      const certificate = writeCertificate(join(job.scratch, "certificate.pem"));
      stage.start("receiver", listen(port, certificate), { stdout: down.write });
      const extract = stage.start("receiver", ["tar", "-C", dest, "-xf", "-"], { stdin: down.read });
      await stage.listening(port);
      const sendPort = await throughLink(job, port);
      const up = stage.pipe();
      await stage.time(() => {
        stage.start("sender", ["tar", "-C", set.folder, "--hard-dereference", "-cf", "-", "."], { stdout: up.write });
        stage.start("sender", connect(sendPort), { stdin: up.read });
        return extract.succeeded();
      });
      return movedAll(set, dest);
    },
  };
}

/** The size of a pipe: smaller ones, as the 8 KiB that it takes by itself, are slower. */
const socatBlockBytes = "65536";

export const tarSocat: Contender = tarThrough({
  name: "tar-socat",
  kinds: ["directory", "link"],
  missing: () => (Bun.which("socat") === null ? "socat" : undefined),
  listen: (port) => ["socat", "-u", "-b", socatBlockBytes, `TCP-LISTEN:${port},bind=127.0.0.1`, "STDOUT"],
  connect: (port) => ["socat", "-u", "-b", socatBlockBytes, "STDIN", `TCP:127.0.0.1:${port}`],
});

/** What encryption takes where nobody is proven: the reference for framepipe with keys. */
export const tarSocatTls: Contender = tarThrough({
  name: "tar-socat-tls",
  kinds: ["directory", "link"],
  role: "reference",
  guarantees: "; encrypted with OpenSSL, and whoever answers is taken",
  missing: () => (Bun.which("socat") === null ? "socat" : undefined),
  listen: (port, certificate) => {
    const address = `OPENSSL-LISTEN:${port},bind=127.0.0.1,cert=${certificate},verify=0`;
    return ["socat", "-u", "-b", socatBlockBytes, address, "STDOUT"];
  },
  connect: (port) => ["socat", "-u", "-b", socatBlockBytes, "STDIN", `OPENSSL:127.0.0.1:${port},verify=0`],
});

/** Debian's name for it when several are installed. */
const netcat = Bun.which("nc.openbsd") ?? Bun.which("nc");

export const tarNetcat: Contender = tarThrough({
  name: "tar-nc",
  kinds: ["directory"],
  missing: () => {
    if (netcat === null) return "netcat-openbsd";
    // Others have neither the same options nor the same end.
    const { stdout, stderr } = Bun.spawnSync([netcat, "-h"]);
    return `${stdout}${stderr}`.includes("OpenBSD") ? undefined : "netcat-openbsd";
  },
  listen: (port) => [netcat ?? "nc", "-l", "127.0.0.1", `${port}`],
  connect: (port) => [netcat ?? "nc", "-N", "127.0.0.1", `${port}`],
});
