/**
 * A directory in which frames appear: what is there at the start, and then each file as it is finished, without end.
 * Which files those are is found by watched-files.ts; here they are frames, which are sent, settled and removed.
 *
 * A name is not listed again while its frame is on its way: what is read then is the new file, and may be all there is
 * to send. It is looked at again when that frame is settled. A frame that could not be read counts as never seen: the
 * next event, which may be that of a `chmod`, or the next look at all files lists it again if it can be opened now.
 *
 * What is deleted is forgotten, so with `deleteSent` memory does not grow with the days.
 */
import type { FrameEntry, Outcome } from "../../frame.ts";
import type { Clock, Listed, OpenedFrame, Source } from "../../ports.ts";
import { watchFolder, type WatchFolder } from "../../system/watch-folder.ts";
import { FrameFiles, type FrameFilesOptions, type SourceProblem } from "../files/frame-files.ts";
import { LinkTargets } from "../files/link-targets.ts";
import { RestingFiles, restingMax } from "../files/resting-files.ts";
import { type SentFate, SentFiles } from "../files/sent-files.ts";
import { noFingerprint } from "./known-files.ts";
import { type NamePicture, PictureNames } from "./picture-names.ts";
import { WatchedFiles } from "./watched-files.ts";

export interface WatchedDirectoryOptions extends FrameFilesOptions {
  readonly clock: Clock;
  /**
   * `oldest` (default): natural order of names for what is there at the start, then in the order in which files are
   * finished. `newest`: of all that is not listed yet the one with the latest capture time; what appeared while we
   * looked on comes before what was there, because some cameras lose their clocks.
   */
  readonly order?: "oldest" | "newest" | undefined;
  /** Remove a file once it is stored elsewhere. A link is removed, what it leads to stays. */
  readonly deleteSent?: boolean | undefined;
  /** With `deleteSent`: how long a file must have been stored and unchanged. Without: no time at all. */
  readonly restMs?: number | undefined;
  /** Names pictures of a file that is written again. Undefined: they have its name, and the receiver numbers them. */
  readonly namePicture?: NamePicture | undefined;
  /** For tests: `fs.watch` otherwise. */
  readonly watchFolder?: WatchFolder | undefined;
}

export class WatchedDirectory implements Source {
  readonly name: string;
  readonly live = true;
  onReady?: () => void;
  readonly #clock: Clock;
  readonly #onProblem: WatchedDirectoryOptions["onProblem"];
  readonly #found: WatchedFiles;
  readonly #sent: SentFiles;
  readonly #resting: RestingFiles;
  readonly #names: PictureNames;
  readonly #links = new LinkTargets();
  /** Links to folders that were reported; they are met again in each scan. */
  readonly #folderLinks = new Set<string>();

  constructor(options: WatchedDirectoryOptions) {
    const { name, clock, order = "oldest", deleteSent = false, restMs = 0 } = options;
    this.name = name;
    this.#clock = clock;
    this.#onProblem = options.onProblem;
    const files = new FrameFiles({ ...options, onProblem: (problem) => this.#report(problem) });
    this.#found = new WatchedFiles({
      clock,
      files,
      order,
      watchFolder: options.watchFolder ?? watchFolder,
      onLink: (link, target) => {
        if (deleteSent) this.#links.listed(link, target);
      },
      onReady: () => this.onReady?.(),
    });
    this.#sent = new SentFiles(files, deleteSent, (unread) => {
      this.#names.unlisted(unread);
      this.#found.forget(unread, noFingerprint);
    });
    this.#names = new PictureNames(options.namePicture);
    const onFate = (rested: string, fate: SentFate): void => {
      const wasFull = this.#resting.size + 1 >= restingMax;
      this.#afterFate(rested, fate);
      if (wasFull) this.onReady?.();
    };
    this.#resting = new RestingFiles({ clock, files, sent: this.#sent, deleteSent, restMs, onFate });
  }

  /** A file that is not finished is no frame yet. */
  get unlistedFrames(): number | undefined {
    return this.#found.unlisted;
  }

  list(max: number, liveOnly = false): Listed[] {
    this.#found.start();
    if (this.#sent.hasDoubted) this.#review();
    const listed: Listed[] = [];
    while (listed.length < max && !this.#resting.isFull) {
      const ready = this.#found.take(liveOnly);
      if (ready === undefined) break;
      const { listed: one, capturedNs, rewritten } = ready;
      if ("failure" in one) listed.push(one);
      else {
        this.#sent.listed(one, rewritten);
        const picture = this.#names.list(one.name, capturedNs);
        listed.push(picture === one.name ? one : { ...one, name: picture });
      }
    }
    if (this.#sent.hasDoubted) this.#clock.after(0, () => this.onReady?.());
    return listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    const name = this.#names.fileOf(entry.name);
    this.#resting.forget(name);
    return this.#sent.open({ ...entry, name });
  }

  confirms(entry: FrameEntry, crc32: number): boolean | undefined {
    return this.#sent.confirms({ ...entry, name: this.#names.fileOf(entry.name) }, crc32);
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): void {
    const name = this.#names.fileOf(entry.name);
    this.#names.settled(entry.name);
    const news = this.#found.settled(name);
    this.#links.settled(name);
    const fate = this.#resting.settled({ ...entry, name }, outcome, crc32);
    if (fate !== "resting") this.#afterFate(name, fate);
    if (fate !== "changed" && (news === "live" || news === "changed")) this.#found.lookAgain(name, news === "live");
  }

  dispose(): void {
    this.#found.dispose();
    this.#resting.close();
    this.#links.clear();
    this.#names.clear();
    this.#sent.clear();
  }

  /** What was taken to be at the receiver and is not is listed again, and sent without asking. */
  #review(): void {
    const other = this.#sent.review();
    if (other === undefined) return;
    this.#found.forget(other.name, noFingerprint);
    this.#found.lookAgain(other.name, true);
  }

  #afterFate(name: string, fate: SentFate): void {
    if (fate === "gone") this.#found.forget(name, undefined);
    if (fate !== "changed") return;
    // It may have the size and time of the one before; the receiver would take it for that one if it were asked.
    this.#found.forget(name, noFingerprint);
    this.#found.lookAgain(name, true);
  }

  #report(problem: SourceProblem): void {
    if (problem.reason === "symlink") {
      if (this.#folderLinks.has(problem.path)) return;
      this.#folderLinks.add(problem.path);
    }
    this.#onProblem?.(problem);
  }
}
