/**
 * Goes through the names of folders depth first, without looking at what they are. Whoever uses it looks, and enters
 * a folder when it meets one; the walk then goes on inside it before it comes back. With the names of each folder in
 * natural order the whole is in natural order of the paths. In memory are the names in the folders on the way.
 */

interface Level<Folder> {
  readonly folder: Folder;
  readonly names: readonly string[];
  next: number;
}

/** The next name of a folder; without a name: all names of that folder have been given. */
export interface Step<Folder> {
  readonly folder: Folder;
  readonly name: string | undefined;
}

export class FolderWalk<Folder> {
  readonly #levels: Level<Folder>[] = [];

  /** `names` come next, before what was entered earlier. */
  enter(folder: Folder, names: readonly string[]): void {
    this.#levels.push({ folder, names, next: 0 });
  }

  /** Undefined: everything that was entered has been given. */
  next(): Step<Folder> | undefined {
    const level = this.#levels.at(-1);
    if (level === undefined) return undefined;
    const name = level.names[level.next];
    level.next += 1;
    if (name === undefined) this.#levels.pop();
    return { folder: level.folder, name };
  }

  get done(): boolean {
    return this.#levels.length === 0;
  }

  clear(): void {
    this.#levels.length = 0;
  }
}
