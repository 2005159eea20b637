/** What a receiver does for `--verify`, one thing at a time, while frames are stored or wait. */
import type { DestinationEvent } from "../../events.ts";
import type { Layout } from "../store/layout.ts";
import { carryOut, eventOf } from "./carry-out.ts";
import { isSound } from "./open-readable.ts";
import type { Catalogue, CatalogueBatch } from "./catalogue.ts";
import type { OwnFiles } from "./own-files.ts";
import { removeNew } from "./rebuild-catalogue.ts";
import type { Requests, VerifyRequest } from "./requests.ts";

export interface VerifyServiceOptions {
  readonly directory: string;
  readonly layout: Layout;
  readonly ownFiles: Pick<OwnFiles, "requireCatalogue" | "condemnCatalogue" | "catalogueRebuilt">;
  /** Absent: nobody can ask. */
  readonly requests?: Requests | undefined;
  readonly recorded: (batch: CatalogueBatch) => void;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class VerifyService {
  readonly #options: VerifyServiceOptions;
  #serving = false;

  constructor(options: VerifyServiceOptions) {
    this.#options = options;
  }

  /** The directory is this receiver's from now on. */
  begin(): void {
    const { requests, directory } = this.#options;
    if (requests === undefined) return;
    requests.begin();
    removeNew(directory);
  }

  /** Looks whether something is asked for, and begins with it. `open`: the catalogue, also where its file is gone. */
  serve(open: Catalogue | undefined): void {
    const taken = this.#serving ? undefined : this.#options.requests?.take();
    if (taken !== undefined) void this.#carryOut(taken.id, taken.request, open);
  }

  async #carryOut(id: string, request: VerifyRequest, open: Catalogue | undefined): Promise<void> {
    const { requests, layout, directory, ownFiles, recorded, onEvent } = this.#options;
    this.#serving = true;
    // Whoever looks at the catalogue now, goes on first.
    await Promise.resolve();
    if (request.kind === "rebuild" && request.damaged === true) ownFiles.condemnCatalogue();
    const answer = await carryOut(request, { directory, layout, open, recorded, hasCatalogue: () => this.#has(open) });
    this.#serving = false;
    ownFiles.catalogueRebuilt(answer.kind === "rebuilt" || answer.kind === "put-back");
    const event = eventOf(answer);
    if (event !== undefined) onEvent?.({ event: "destination", place: directory, ...event });
    requests?.answer(id, answer);
  }

  /** One that is open and in its place is in use. */
  #has(open: Catalogue | undefined): boolean {
    if (open === undefined) return isSound(this.#options.directory);
    try {
      this.#options.ownFiles.requireCatalogue();
      return true;
    } catch {
      return false;
    }
  }
}
