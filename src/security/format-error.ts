/**
 * A key file, a device file or an invitation that does not hold what it should. The message says what is wrong in a few
 * words for a person, and never repeats a text that may be secret.
 */
export class FormatError extends Error {
  override readonly name = "FormatError";
}
