/**
 * Which framepipe this is. `scripts/build.ts` puts version and commit into the executable; a run from source reads the
 * version where it is kept and has no commit of its own.
 */
import manifest from "../../package.json" with { type: "json" };

declare const BUILD_VERSION: string | undefined;
declare const BUILD_COMMIT: string | undefined;

export const version: string = typeof BUILD_VERSION === "string" ? BUILD_VERSION : manifest.version;
export const commit: string = typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "source";

/** What peers are told of us. */
export const programName: string = `framepipe ${version}`;
