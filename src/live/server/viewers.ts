/** All viewers of the live channel, and what they share: pictures, figures, memory. */
import { MiB } from "../../limits.ts";
import { formatTime } from "../../times.ts";
import type { Figures, PictureSize, ServerMessage, SourceKey } from "../page-api.ts";
import type { Pictures } from "./pictures.ts";
import { Viewer, type ViewerSocket } from "./viewer.ts";

export const viewersMax = 256;
/** Of what viewers have not taken: each has one message, however large; small ones always go. */
const waitingBytesMax: number = 64 * MiB;
const smallBytes = 65_536;
const figuresMs = 1000;
const looksMs = 5000;

export interface ViewersOptions {
  readonly pictures: Pictures;
  readonly nowMs: () => number;
  readonly wallNs: () => bigint;
  readonly every: (ms: number, run: () => void) => void;
  readonly askFigures: () => Promise<Figures>;
}

export class Viewers {
  readonly #options: ViewersOptions;
  readonly #viewers = new Map<ViewerSocket, Viewer>();
  /** Those that have to wait until others have taken what they were sent. */
  readonly #lackRoom = new Set<Viewer>();

  constructor(options: ViewersOptions) {
    this.#options = options;
    options.every(figuresMs, () => void this.#tellFigures());
    options.every(looksMs, () => {
      for (const viewer of this.#viewers.values()) viewer.look();
    });
  }

  get full(): boolean {
    return this.#viewers.size >= viewersMax;
  }

  join(socket: ViewerSocket): void {
    const { pictures, nowMs } = this.#options;
    const viewer: Viewer = new Viewer({ socket, pictures, nowMs, hasRoom: (bytes) => this.#hasRoom(viewer, bytes) });
    this.#viewers.set(socket, viewer);
  }

  leave(socket: ViewerSocket): void {
    const viewer = this.#viewers.get(socket);
    this.#viewers.delete(socket);
    if (viewer !== undefined) this.#lackRoom.delete(viewer);
    this.#pumpWaiting();
  }

  hear(socket: ViewerSocket, text: string): void {
    const viewer = this.#viewers.get(socket);
    if (viewer === undefined) return;
    try {
      const hadFigures = viewer.wantsFigures;
      const ping = viewer.hear(text);
      if (ping !== undefined) viewer.tell(textOf({ pong: ping, now: formatTime(this.#options.wallNs()) }));
      if (!hadFigures && viewer.wantsFigures) void this.#tellFigures(viewer);
    } catch {
      socket.close();
    }
  }

  /** Its connection has taken everything. */
  drained(socket: ViewerSocket): void {
    // Who has had a picture comes behind those that have waited.
    this.#pumpWaiting();
    this.#viewers.get(socket)?.pump();
  }

  #pumpWaiting(): void {
    const waiting = [...this.#lackRoom];
    this.#lackRoom.clear();
    for (const viewer of waiting) viewer.pump();
  }

  ready(key: SourceKey, size: PictureSize): void {
    for (const viewer of this.#viewers.values()) if (viewer.shows(key, size)) viewer.pump();
  }

  async #tellFigures(only?: Viewer): Promise<void> {
    const wanted = (viewer: Viewer): boolean => viewer.wantsFigures && (only === undefined || viewer === only);
    if (!this.#viewers.values().some(wanted)) return;
    const text = textOf({ figures: await this.#options.askFigures() });
    for (const viewer of this.#viewers.values()) if (wanted(viewer)) viewer.tell(text);
  }

  #hasRoom(viewer: Viewer, bytes: number): boolean {
    if (bytes <= smallBytes) return true;
    let waiting = bytes;
    for (const socket of this.#viewers.keys()) waiting += socket.waitingBytes();
    // One alone may always have its picture.
    const hasRoom = waiting === bytes || waiting <= waitingBytesMax;
    if (!hasRoom) this.#lackRoom.add(viewer);
    return hasRoom;
  }
}

function textOf(message: ServerMessage): string {
  return JSON.stringify(message);
}
