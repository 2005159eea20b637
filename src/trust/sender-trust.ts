/** A sender's key, the receiver that it knows by its keys, and an invitation to it. */
import { UserError } from "../errors.ts";
import type { TrustEvent } from "../events.ts";
import { KiB } from "../limits.ts";
import type { Identity, SenderTrust } from "../ports.ts";
import { identityOf } from "../security/certificate.ts";
import { FormatError } from "../security/format-error.ts";
import { type Invitation, parseInvitation } from "../security/invitation.ts";
import { signJoin } from "../security/join-proof.ts";
import type { KnownReceiver } from "../security/key-file.ts";
import { hashOfFingerprint } from "../security/fingerprint.ts";
import { spkiHash } from "../security/key-pair.ts";
import { advancePins } from "../security/pins.ts";
import { describe } from "../system/errno.ts";
import { readSmallFile, readStandardInput } from "../system/small-file.ts";
import { readKey, readOrMakeKey, updateKey } from "./key-files.ts";

/** One line. */
const invitationBytesMax = 4 * KiB;

export interface SenderTrustOptions {
  readonly keyPath: string;
  /** `HOST:PORT` that is sent to. */
  readonly address: string;
  /** What the key file calls it: a gateway's key is a receiver's, too. */
  readonly role: "receiver" | "upstream";
  /** A file, or `-`. */
  readonly join: string | undefined;
  /** Fingerprint. */
  readonly peer: string | undefined;
  readonly onEvent: (event: TrustEvent) => void;
}

/** Throws UserError for what must be put right before anything is sent. Makes the key if it is not there. */
export function openSenderTrust(options: SenderTrustOptions): SenderTrust {
  const { keyPath, address, role, peer, onEvent } = options;
  // Nothing is made for a command that cannot work.
  const known = readKey(keyPath)?.file[role];
  const invitation = readInvitation(options, known);
  const pins = known?.pins ?? invitation?.pins ?? (peer === undefined ? undefined : [peer]);
  if (pins === undefined) {
    throw new UserError(`the key ${keyPath} knows no ${role}`, [
      "--join FILE: an invitation, which framepipe --invite DEVICE@HOST:PORT --key FILE prints at the receiver",
      "or --peer fp1…: the receiver's public key, where its device file for this key is made by hand",
    ]);
  }
  if (peer !== undefined && !pins.includes(peer)) {
    throw new UserError(`--peer ${peer} is none of the keys that ${keyPath} knows its ${role} by: ${pins.join(" ")}`, [
      "leave --peer out, or use another key file for another receiver",
    ]);
  }
  const { pair, made } = readOrMakeKey(keyPath);
  if (made) onEvent({ event: "key-made", path: keyPath, key: pair.fingerprint });
  const receiver = known ?? { address: invitation?.address ?? address, pins };
  return new FileTrust(options, identityOf(pair), spkiHash(pair.spki), receiver, invitation);
}

class FileTrust implements SenderTrust {
  readonly identity: Identity;
  readonly #options: SenderTrustOptions;
  readonly #hash: Uint8Array;
  #receiver: KnownReceiver;
  #invitation: Invitation | undefined;

  constructor(
    options: SenderTrustOptions,
    identity: Identity,
    hash: Uint8Array,
    receiver: KnownReceiver,
    invitation: Invitation | undefined,
  ) {
    this.#options = options;
    this.identity = identity;
    this.#hash = hash;
    this.#receiver = receiver;
    this.#invitation = invitation;
  }

  get pins(): readonly string[] {
    return this.#receiver.pins;
  }

  joinProof(exporter: Uint8Array, receiver: string): Uint8Array {
    const receiverSpkiHash = hashOfFingerprint(receiver);
    if (this.#invitation === undefined || receiverSpkiHash === undefined) return new Uint8Array();
    const { secret } = this.#invitation;
    return signJoin({ secret, exporter, receiverSpkiHash, deviceSpkiHash: this.#hash });
  }

  pinned(proven: string, announced: readonly string[]): void {
    // Taken up, or not needed: a grant that is withdrawn later stays withdrawn.
    this.#invitation = undefined;
    const { keyPath, role, onEvent } = this.#options;
    this.#receiver = { ...this.#receiver, pins: advancePins(this.#receiver.pins, proven, announced) };
    try {
      // Another sender with this key may have learnt more since.
      updateKey(keyPath, (file) => {
        const { address, pins } = file[role] ?? this.#receiver;
        return {
          ...file,
          [role]: { address, pins: pins.includes(proven) ? advancePins(pins, proven, announced) : pins },
        };
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // What was proven holds in this run; the next one asks again.
      onEvent({ event: "pins-not-kept", problem: error.message });
    }
  }
}

/** Undefined: there is none, or none is needed. */
function readInvitation(
  { keyPath, join, onEvent }: SenderTrustOptions,
  known: KnownReceiver | undefined,
): Invitation | undefined {
  if (join === undefined) return undefined;
  const passedOver = (reason: string): undefined => {
    onEvent({ event: "invitation-passed-over", reason });
  };
  // The invitation of the first start, long gone when a service starts again.
  if (known !== undefined && join === "-") return passedOver("the receiver is known");
  let invitation: Invitation;
  try {
    invitation = parseInvitation(
      join === "-" ? readStandardInput(invitationBytesMax) : readSmallFile(join, invitationBytesMax).text,
    );
  } catch (error) {
    const problem = error instanceof FormatError ? error.message : describe(error, { ENOENT: "it is not there" });
    if (known !== undefined) return passedOver(`the receiver is known; of the invitation: ${problem}`);
    throw new UserError(`cannot use the invitation ${join}: ${problem}`, [
      "a new one: framepipe --invite DEVICE@HOST:PORT --key FILE, at the receiver",
    ]);
  }
  if (known === undefined || known.pins.some((pin) => invitation.pins.includes(pin))) return invitation;
  // The receiver has changed its key more than once since it wrote this.
  if (known.address === invitation.address) return passedOver("the receiver is known, and has other keys by now");
  throw new UserError(
    `the invitation ${join} is of another receiver than the one that ${keyPath} knows, at ${known.address}`,
    ["use another key file for another receiver: --key FILE; or leave --join out"],
  );
}
