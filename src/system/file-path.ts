/** A path as the system's calls take it: bytes where a name in it is no text. */
export type FilePath = string | Buffer;
