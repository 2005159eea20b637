/** A receiver's key and its devices folder in a directory of their own, with a clock that only the test moves. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrustEvent } from "../../src/events.ts";
import type { ReceiverTrust } from "../../src/ports.ts";
import { deviceFileName } from "../../src/security/device-file.ts";
import { parseInvitation } from "../../src/security/invitation.ts";
import { signJoin } from "../../src/security/join-proof.ts";
import { hashOfFingerprint } from "../../src/security/fingerprint.ts";
import { invite } from "../../src/trust/invite.ts";
import { openReceiverTrust } from "../../src/trust/receiver-trust.ts";
import { SimClock } from "../simulation/sim-clock.ts";

export class TrustPlace implements Disposable {
  readonly root: string = mkdtempSync(join(tmpdir(), "framepipe-trust-"));
  readonly keyPath: string = join(this.root, "recorder.key");
  readonly devices: string = `${this.keyPath}.devices`;
  readonly clock: SimClock = new SimClock();
  readonly events: TrustEvent[] = [];
  readonly lost: string[] = [];
  /** Calls of the system that a folder has changed, which the test makes. */
  #told: (() => void)[] = [];
  readonly #opened: ReceiverTrust[] = [];

  path(...names: string[]): string {
    return join(this.root, ...names);
  }

  open(): ReceiverTrust {
    const trust = openReceiverTrust({
      keyPath: this.keyPath,
      clock: this.clock,
      watch: (_, onEvent) => {
        const tell = (): void => onEvent("changed", undefined);
        this.#told.push(tell);
        return () => (this.#told = this.#told.filter((other) => other !== tell));
      },
      onEvent: (event) => this.events.push(event),
    });
    trust.watch((fingerprint) => this.lost.push(fingerprint));
    this.#opened.push(trust);
    return trust;
  }

  /** The system says that something happened in the folder. */
  tell(): void {
    for (const tell of this.#told) tell();
  }

  grant(device: string, key: string, words = ""): string {
    mkdirSync(this.devices, { recursive: true, mode: 0o700 });
    const path = join(this.devices, deviceFileName(device, key));
    writeFileSync(path, `device=${device} ${words}\n`);
    return path;
  }

  invite(device: string, forMs = 600_000): ReturnType<typeof invite> {
    const nowMs = Number(this.clock.wallNs() / 1_000_000n);
    return invite({ keyPath: this.keyPath, device, address: "recorder:8000", forMs, nowMs });
  }

  /** What a device with this key sends to `trust` on a connection of its own. */
  proof(trust: ReceiverTrust, line: string, fingerprint: string): Parameters<ReceiverTrust["join"]>[0] {
    const exporter = crypto.getRandomValues(new Uint8Array(32));
    const hash = (of: string): Uint8Array => hashOfFingerprint(of) ?? new Uint8Array();
    const { secret } = parseInvitation(line);
    const receiverSpkiHash = hash(trust.identity.fingerprint);
    const proof = signJoin({ secret, exporter, receiverSpkiHash, deviceSpkiHash: hash(fingerprint) });
    return { proof, exporter, fingerprint };
  }

  [Symbol.dispose](): void {
    for (const trust of this.#opened) trust.dispose();
    rmSync(this.root, { recursive: true, force: true });
  }
}
