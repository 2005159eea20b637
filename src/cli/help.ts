/** The text of `--help`: written by hand, but for the options, which come from their table. */
import { Help, type Option } from "@commander-js/extra-typings";
import { temporaryEnds } from "../sources/files/temporary-names.ts";
import { makeOption, usage } from "./make-option.ts";
import { optionKeys } from "./option-table.ts";
import { inputVariable } from "./parsed-options.ts";
import { version } from "./version.ts";

const columns = 100;

export function helpText(): string {
  return `framepipe ${version}: moves camera frames to another machine, intact, once,
over one TCP connection

usage
  ${usage[0]}   be the sender
  ${usage[1]}      be the receiver
  ${usage[2]}                          check a stored directory against its catalogue
  ${usage[3]}        give stored frames out again
  ${usage[4]}   let a new device in: print an invitation

examples
  framepipe --receive 8000 --out captures --key recorder.key
  framepipe --invite rig-7@recorder:8000 --key recorder.key > invitation
  framepipe --send recorder:8000 --key rig-7.key --join invitation visible=./vis infrared=./ir
or on one machine, without keys
  framepipe --receive 8000 --out captures
  framepipe --send localhost:8000 visible=./vis infrared=./ir
  ffmpeg -i /dev/video0 -c:v mjpeg -f image2pipe - | framepipe --send localhost:8000 visible=-
  framepipe --receive 8000 --out - | ffplay -f mjpeg -
  framepipe --read captures rig-7/visible --from 10:00 --as stream | ffmpeg -i - film.mp4

An INPUT is a directory, read with its sub-directories, a single file, a named pipe, or - for
standard input. SOURCE names it at the receiver; without it, the directory's own name does. Frames
are stored in DEST/<device>/<source>/<name>. After an interruption, run the same command again: only
what is missing is sent.

Hidden files are no frames, nor is what has a name that programs use while they write. It ends in
${temporaryList()}

${optionGroups()}

SIZE is a number with K, M, G (powers of 1000) or Ki, Mi, Gi (powers of 1024), or plain bytes.
RATE is a number with kbit, Mbit or Gbit, a second.
DURATION is a number with ms, s, m, h or d, or plain seconds.
TIME is 2026-11-25T10:32:07.120Z; without Z by this machine's clock; only a day; or 10:32, of today.
Of an option that is given twice the last one counts, unless it may be repeated.

environment
  Every option is also read from FRAMEPIPE_ and its name: FRAMEPIPE_MAX_FRAME=1G, FRAMEPIPE_JSON=1.
  Options that may be repeated take one value a line, and ${inputVariable} one INPUT a line. The
  command line wins. Variables for another mode are ignored. NO_COLOR=1: no colours.

signals
  The first SIGINT (ctrl-c), SIGTERM or SIGHUP finishes what is in hand and says what is left; the
  second exits at once. SIGHUP means nothing where it was ignored at the start (nohup).

exit status
  0    every frame acknowledged
  1    cannot start or go on, for the reason that is said
  2    usage
  3    refused by the other end
  4    finished or verified, but some frames were rejected, unreadable, dropped or left, or are
       known gaps
  5    gave up after --retry-for
  6    --verify found frames that are missing, changed, unknown or unaccounted
  130  ended by a second SIGINT; 143: by a second SIGTERM; 129: by a second SIGHUP
`;
}

/** The ends of names that programs use while they write, in lines. */
function temporaryList(): string {
  const lines = [" "];
  for (const end of temporaryEnds) {
    const line = `${lines.pop()} ${end}`;
    if (line.length < columns) lines.push(line);
    else lines.push(line.slice(0, -end.length - 1), `  ${end}`);
  }
  return lines.join("\n");
}

/** Commander's layout, with our headings in the order of the table. */
function optionGroups(): string {
  const help = new Help();
  help.helpWidth = columns;
  const options = optionKeys.map(makeOption);
  const terms = options.map(({ flags }) => flags.replace(/<(.+)>$/, "$1"));
  const termColumns = Math.max(...terms.map((term) => term.length));
  const groups = new Map<string, string[]>();
  for (const [index, option] of options.entries()) {
    const heading = option.helpGroupHeading ?? "";
    const lines = groups.get(heading) ?? [heading];
    lines.push(help.formatItem(terms[index] ?? "", termColumns, explained(option), help));
    groups.set(heading, lines);
  }
  return [...groups.values()].map((lines) => lines.join("\n")).join("\n\n");
}

function explained({ description, defaultValue, defaultValueDescription }: Option): string {
  const repeated = Array.isArray(defaultValue) ? ". May be repeated" : "";
  const value = defaultValueDescription ?? (typeof defaultValue === "boolean" ? undefined : defaultValue);
  const shown = typeof value === "string" || typeof value === "number" ? ` (default: ${value})` : "";
  return description + shown + repeated;
}
