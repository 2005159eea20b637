/**
 * `--name` for a watched file that is written again and again, such as `latest.jpg`: its first picture has the file's
 * name, each later one a name of its own, under which it is sent. Other files keep their names.
 *
 * In memory are the names that were listed before, the newest 100,000, and of pictures on their way both names.
 */
const listedMax = 100_000;

/** What a picture is called, by its capture time and the extension of its file. */
export type NamePicture = (capturedNs: bigint, extension: string) => string;

export class PictureNames {
  readonly #namePicture: NamePicture | undefined;
  /** Names of files that were listed, the last one last. */
  readonly #listed = new Set<string>();
  /** By the name of the picture, that of its file. */
  readonly #files = new Map<string, string>();

  /** Undefined: pictures have the names of their files. */
  constructor(namePicture: NamePicture | undefined) {
    this.#namePicture = namePicture;
  }

  /** The file is listed: under which name. */
  list(file: string, capturedNs: bigint): string {
    if (this.#namePicture === undefined) return file;
    const isAgain = this.#listed.delete(file);
    this.#listed.add(file);
    if (!isAgain) {
      if (this.#listed.size > listedMax) for (const oldest of this.#listed.keys().take(1)) this.#listed.delete(oldest);
      return file;
    }
    const dot = file.lastIndexOf(".");
    const extension = dot > file.lastIndexOf("/") + 1 ? file.slice(dot + 1) : "raw";
    const picture = this.#namePicture(capturedNs, extension);
    this.#files.set(picture, file);
    return picture;
  }

  /** The file that has, or had, this picture. */
  fileOf(picture: string): string {
    return this.#files.get(picture) ?? picture;
  }

  /** The picture is settled. */
  settled(picture: string): void {
    this.#files.delete(picture);
  }

  /** Nothing of the file could be read: its next picture is the first. */
  unlisted(file: string): void {
    this.#listed.delete(file);
  }

  clear(): void {
    this.#files.clear();
  }
}
