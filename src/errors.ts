/**
 * The error family. A bug is an `assert` and stops the program. A peer that breaks the protocol is a `ProtocolError`.
 * The world (files, disks, networks) is a `SourceError` or a `SinkError`. The user's command line is a `UsageError`.
 */

/** Exit statuses, as listed in `--help`. */
export const ExitStatus = {
  ok: 0,
  failure: 1,
  usage: 2,
  refused: 3,
  incomplete: 4,
  gaveUp: 5,
  different: 6,
} as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

/** A broken promise between parts of this program: a bug, never something a user or a peer can cause. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Stops the program if `condition` does not hold. Keep messages constant: hot paths must not format text. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** What `step` throws, or `undefined`. */
export function failureOf(step: () => void): unknown {
  try {
    step();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** For the `default` of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

/**
 * Why a connection is refused or ended; travels in REFUSE. The numbers are those of wire/PROTOCOL.md
 * section 8, and a test compares the two tables.
 */
export const ProtocolCode = {
  /** Bytes that are not this protocol. */
  malformed: 1,
  /** A version that is not spoken here; the message says which are. */
  version: 2,
  /** A message that is not allowed in this state. */
  unexpected: 3,
  /** A length or count above its limit. */
  limit: 4,
  /** A head whose check value does not hold. */
  damaged: 5,
  /** Key or certificate missing or wrong. */
  unauthorized: 6,
  /** The receiver has as many connections as it may have. */
  busy: 7,
  /** Another connection of the same session has taken over. */
  replaced: 8,
  /** Nothing, or too little, arrived in time. */
  timeout: 9,
  /** The peer is stopping; connect again later. */
  stopping: 10,
} as const;
export type ProtocolCode = (typeof ProtocolCode)[keyof typeof ProtocolCode];

const codeNames = new Map<number, string>(Object.entries(ProtocolCode).map(([name, code]) => [code, name]));

/** The word for a code that came from a peer, or `code N`. */
export function protocolCodeName(code: number): string {
  return codeNames.get(code) ?? `code ${code}`;
}

/** A peer broke the protocol, or refused us. Message form: where, found, expected. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /**
   * Which side broke it: `peer` for what arrived, `refused` for what the peer says of us, `stranger` for bytes that are
   * of another protocol from the first.
   */
  readonly side: "peer" | "refused" | "stranger";
  readonly code: number;
  constructor(code: number, message: string, side: ProtocolError["side"] = "peer") {
    super(message);
    this.code = code;
    this.side = side;
  }
}

/** For a write that took nothing and gave no error: as a full disk, with the code that file systems give. */
export function nothingWritten(): Error {
  return Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
}

/** Why a source cannot give a frame: those of the reasons of a gap that arise at the sender. */
export type SourceFailure = "unreadable" | "vanished" | "changing" | "dropped";

/** A file or stream that cannot give a frame. The frame is reported; the rest goes on. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  readonly reason: SourceFailure;
  constructor(reason: SourceFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Whom a failure of a destination concerns: everybody, one source of one device, or one frame. */
export type FaultScope = "destination" | "source" | "frame";

export interface SinkErrorOptions extends ErrorOptions {
  readonly retryable: boolean;
  readonly exhausted?: boolean;
  readonly scope?: FaultScope;
  readonly hints?: readonly string[];
}

/**
 * A destination that cannot take a frame. `retryable`: hold whom it concerns and try again (full, read-only, gone); of
 * one frame: it is to be sent again. Else a frame is refused, and a destination is given up.
 */
export class SinkError extends Error {
  override readonly name = "SinkError";
  readonly retryable: boolean;
  /** The process has no file handles left: not the destination's fault, so who asked for one more has to go. */
  readonly exhausted: boolean;
  readonly scope: FaultScope;
  /** What a person can do. */
  readonly hints: readonly string[];
  constructor(message: string, options: SinkErrorOptions) {
    super(message, options);
    this.retryable = options.retryable;
    this.exhausted = options.exhausted ?? false;
    this.scope = options.scope ?? "destination";
    this.hints = options.hints ?? [];
  }
}

/** Something the user said or set up that cannot work: `error:` and `hint:` lines, and an exit status. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly hints: readonly string[];
  readonly status: ExitStatus;
  constructor(message: string, hints: readonly string[], status: ExitStatus = ExitStatus.usage) {
    super(message);
    this.hints = hints;
    this.status = status;
  }
}
