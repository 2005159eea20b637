/** The text of `--help`. Written by hand; a test compares its options with those of the parser. */
import { version } from "./version.ts";

export const helpText: string = `framepipe ${version}: moves camera frames to another machine, intact, once,
over one TCP connection

usage
  framepipe --send HOST:PORT [SOURCE=]INPUT ...   be the sender
  framepipe --receive [HOST:]PORT --out DEST      be the receiver
  framepipe --verify DIR                          check a stored directory against its catalogue

examples
  framepipe --receive 8000 --out captures
  framepipe --send localhost:8000 visible=./vis infrared=./ir
  ffmpeg -i /dev/video0 -c:v mjpeg -f image2pipe - | framepipe --send localhost:8000 visible=-
  framepipe --receive 8000 --out - | ffplay -f mjpeg -

An INPUT is a directory, read with its sub-directories (hidden files are skipped), a single file, a
named pipe, or - for standard input. SOURCE names it at the receiver; without it, the directory's
own name does. Frames are stored in DEST/<device>/<source>/<name>. After an interruption, run the
same command again: only what is missing is sent.

sender
  --send HOST:PORT       where the receiver listens; [IPV6]:PORT
  --device NAME          who is sending (default: the host name)
  --include GLOB         send only matching files; may be repeated: --include '*.jpg'
  --watch                go on: send frames as they are finished in the directories
  --format FORMAT        how a stream is split: auto, jpeg, png, y4m or raw:BYTES (default: auto);
                         of one stream: infrared=raw:163840. May be repeated
  --name TEMPLATE        names of a stream's frames, from {date} {time} {sequence} {run} {source}
                         {extension} (default: {date}/{time}-{sequence}-{run}.{extension})
  --order ORDER          which unsent frame goes first: oldest, or newest (default: oldest)
  --when-behind POLICY   when the link is slower than a stream: block, spool or drop-oldest
                         (default: block)
  --spool DIR            where spool keeps frames until they are stored
  --spool-limit SIZE     and how much; then the oldest are dropped (default: 4Gi)
  --max-rate RATE        cap on the link: 20Mbit
  --fps N                send so many frames a second of each directory: to replay it
  --delete-sent          remove each file once the receiver has stored it, never before
  --retry-for DURATION   how long to try when the receiver is not there (default: for ever)
  --lockstep             speak the stop-and-wait text protocol of an old receiver

receiver
  --receive [HOST:]PORT  where to listen; port 0: any free one. Without HOST: 127.0.0.1,
                         with --insecure every interface
  --out DEST             a directory, a .tar or .mcap file, - for standard output, or /dev/null to
                         count and discard (required). May be repeated: a frame is acknowledged
                         when every one has stored it
  --layout TEMPLATE      path of a frame below the directory (default: {device}/{source}/{name})
  --sync MODE            when stored means safe from power loss: batch (flushed in groups before
                         they are acknowledged), each, or never (default: batch)
  --max-frame SIZE       largest frame accepted (default: 256Mi)
  --max-connections N    connections at a time (default: 1024)
  --min-free SIZE        with less free disk than this, wait for space (default: 256Mi)
  --once                 exit when the first session has ended

sender and receiver
  --insecure             allow plain TCP to or from other machines

verify
  --verify DIR           names frames that are missing, changed, unknown or never came

all
  --json                 messages as JSON lines on standard error; the result of --verify as
                         JSON lines on standard output
  --quiet                only errors, and frames that are not stored
  --verbose              more about connections
  -h, --help             this text
  --version              version and commit

SIZE is a number with K, M, G (powers of 1000) or Ki, Mi, Gi (powers of 1024), or plain bytes.
RATE is a number with kbit, Mbit or Gbit, a second.
DURATION is a number with ms, s, m, h or d, or plain seconds.

environment
  Every option is also read from FRAMEPIPE_ and its name: FRAMEPIPE_MAX_FRAME=1G, FRAMEPIPE_JSON=1.
  The command line wins. Variables for another mode are ignored. NO_COLOR=1: no colours.

signals
  The first SIGINT (ctrl-c) or SIGTERM finishes what is in hand and says what is left; the second
  exits at once, with status 130 or 143.

exit status
  0  every frame acknowledged
  1  unexpected failure
  2  usage
  3  refused by the other end
  4  finished, but some frames were rejected, unreadable or left
  5  gave up after --retry-for
  6  --verify found a difference
`;
