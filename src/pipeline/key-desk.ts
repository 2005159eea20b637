/**
 * Peers that have proven a key, at a receiver that knows what keys may do: who may send, as whom, and what all
 * connections of a key have together. wire/PROTOCOL.md section 11. What a peer says of itself is weighed against what
 * is known of its key.
 */
import { hostOf } from "../address.ts";
import { parseAddress } from "../address.ts";
import { ProtocolCode, ProtocolError } from "../errors.ts";
import type { ReceiverEvent } from "../events.ts";
import { viaMax } from "../limits.ts";
import type { Admission, Clock, Grant, ProvenKey, ReceiverTrust } from "../ports.ts";
import type { Admitted, HelloEvent } from "../protocols/receiver-session.ts";
import { JoinLimit } from "./join-limit.ts";
import { KeyAccount, type KeyedConnection } from "./key-account.ts";

export interface Granted {
  readonly device: string;
  readonly grant: Grant;
  /** Keys of the gateways that its frames came through. Empty: the device itself sends. */
  readonly via: readonly string[];
  /** For the user there. */
  readonly remark?: string | undefined;
}

export interface KeyDeskOptions {
  readonly trust: ReceiverTrust;
  readonly clock: Pick<Clock, "nowMs">;
  /** Addresses say who somebody is. */
  readonly perAddress: boolean;
  readonly onEvent: (event: ReceiverEvent) => void;
  /** The grant of a key is gone, or has become another: its connections have to end. */
  readonly onLost: (fingerprint: string, gone: boolean) => void;
}

export class KeyDesk {
  readonly #options: KeyDeskOptions;
  readonly #joins: JoinLimit;
  /** Of keys that have, or had, a connection: at most as many as there are grants. */
  readonly #accounts = new Map<string, KeyAccount>();

  constructor(options: KeyDeskOptions) {
    this.#options = options;
    const { trust, perAddress, onLost } = options;
    this.#joins = new JoinLimit(perAddress);
    trust.watch((fingerprint) => {
      const gone = trust.grantOf(fingerprint) === undefined;
      if (gone) this.#accounts.delete(fingerprint);
      onLost(fingerprint, gone);
    });
  }

  /** Throws ProtocolError, or rejects with it. A promise only where an invitation is taken up. */
  admit(peer: string, { fingerprint, exporter }: ProvenKey, hello: HelloEvent): Granted | Promise<Granted> {
    const { trust, clock } = this.#options;
    const { device, proof, via = [] } = hello;
    if (proof === undefined || proof.length === 0) return this.#granted(trust.admit(fingerprint, device), via);
    if (via.length > 0) refuse("a gateway joins for itself, and not for a device whose frames it hands on");
    const host = parseAddress(peer)?.host ?? "";
    if (!this.#joins.take(host, clock.nowMs())) {
      throw new ProtocolError(ProtocolCode.busy, "too many joins have failed: in a minute they are looked at again");
    }
    if (device !== "") refuse(`who joins is told its name, and ${fingerprint} says that it is ${device}`);
    return trust.join({ proof, exporter, fingerprint }).then((admission) => {
      if (admission.refused === undefined) this.#joins.succeeded(host);
      return this.#granted(admission, []);
    });
  }

  /** Whoever hands on says where the frames have been: never here before. */
  #granted(admission: Admission, before: readonly string[]): Granted {
    if (admission.refused !== undefined) refuse(admission.refused);
    const { device, grant, remark } = admission;
    const { fingerprint } = grant;
    if (device === grant.device) {
      if (before.length > 0) refuse(`${device} sends for itself, and says that its frames came through another`);
      return { device, grant, via: [], remark };
    }
    const { pins } = this.#options.trust;
    if (pins.some((pin) => pin === fingerprint || before.includes(pin))) {
      refuse(`a loop: frames of ${device} came through this receiver before`);
    }
    if (before.length >= viaMax) refuse(`frames of ${device} came through ${viaMax} gateways, as many as there may be`);
    return { device, grant, via: [...before, fingerprint] };
  }

  /** What a device may have at the destination, in bytes. Undefined: as much as there is room. */
  quotaOf(device: string): number | undefined {
    return this.#options.trust.quotaOf(device);
  }

  /** The connection is one of its key's from now on, until it leaves the account. Throws ProtocolError. */
  enter(
    connection: KeyedConnection,
    key: string,
    { device, grant, via }: Granted,
  ): { readonly account: KeyAccount; readonly admitted: Admitted } {
    const { trust, clock, onEvent } = this.#options;
    let account = this.#accounts.get(key);
    if (account === undefined) this.#accounts.set(key, (account = new KeyAccount(clock)));
    account.enter(connection, grant);
    for (const { peer } of account.connections) {
      if (hostOf(peer) === hostOf(connection.peer)) continue;
      onEvent({ event: "key-shared", device, key, peers: [peer, connection.peer] });
      break;
    }
    const entered = account;
    const sourceProblem = (source: string): string | undefined => entered.sourceProblem(device, source, grant);
    return { account, admitted: { device, pins: trust.pins, via, sourceProblem } };
  }
}

function refuse(text: string): never {
  throw new ProtocolError(ProtocolCode.unauthorized, text);
}
