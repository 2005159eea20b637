/**
 * Whether a peer that has proven its key may send, and as whom: wire/PROTOCOL.md section 11. Everything that it says of
 * itself is weighed against what the receiver knows of the key.
 */
import { parseAddress } from "../address.ts";
import { ProtocolCode, ProtocolError } from "../errors.ts";
import type { Admission, Clock, Grant, ProvenKey, ReceiverTrust } from "../ports.ts";
import type { HelloEvent } from "../protocols/receiver-session.ts";
import { JoinLimit } from "./join-limit.ts";

export type Granted = { readonly device: string; readonly grant: Grant };

export class Admissions {
  readonly #trust: ReceiverTrust;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #joins: JoinLimit;

  constructor(trust: ReceiverTrust, clock: Pick<Clock, "nowMs">, perAddress: boolean) {
    this.#trust = trust;
    this.#clock = clock;
    this.#joins = new JoinLimit(perAddress);
  }

  /** Throws ProtocolError, or rejects with it. A promise only where an invitation is taken up. */
  admit(
    { peer, proven }: { readonly peer: string; readonly proven: ProvenKey },
    hello: HelloEvent,
  ): Granted | Promise<Granted> {
    const { device, proof, via = [] } = hello;
    const { fingerprint, exporter } = proven;
    if (via.length > 0) refuse("this version takes no frames that came through another receiver");
    if (proof === undefined || proof.length === 0) return granted(this.#trust.admit(fingerprint, device));
    const host = parseAddress(peer)?.host ?? "";
    if (!this.#joins.take(host, this.#clock.nowMs())) {
      throw new ProtocolError(ProtocolCode.busy, "too many joins have failed: in a minute they are looked at again");
    }
    if (device !== "") refuse(`who joins is told its name, and ${fingerprint} says that it is ${device}`);
    return this.#trust.join({ proof, exporter, fingerprint }).then((admission) => {
      if (admission.refused === undefined) this.#joins.succeeded(host);
      return granted(admission);
    });
  }
}

function granted(admission: Admission): Granted {
  if (admission.refused !== undefined) refuse(admission.refused);
  return admission;
}

function refuse(text: string): never {
  throw new ProtocolError(ProtocolCode.unauthorized, text);
}
