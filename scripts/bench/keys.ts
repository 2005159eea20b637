/** Keys for contenders that encrypt: made before the time counts, as they are for a camera. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { identityOf } from "../../src/security/certificate.ts";
import { deviceFileName } from "../../src/security/device-file.ts";
import { formatKeyFile } from "../../src/security/key-file.ts";
import { type KeyPair, keyPairFromSeed } from "../../src/security/key-pair.ts";

function newPair(): KeyPair {
  return keyPairFromSeed(crypto.getRandomValues(new Uint8Array(32)));
}

function writeSecret(path: string, text: string): string {
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** A receiver's key in a folder, and the keys of devices that it lets in. */
export class BenchKeys {
  readonly #folder: string;
  readonly #receiver = newPair();
  readonly receiverKey: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.receiverKey = writeSecret(join(folder, "receiver.key"), formatKeyFile({ seed: this.#receiver.seed }));
    mkdirSync(`${this.receiverKey}.devices`, { mode: 0o700 });
  }

  /** The file of a new key, which is let in as `device`. */
  admit(device: string): string {
    const pair = newPair();
    const name = deviceFileName(device, pair.fingerprint);
    writeFileSync(join(`${this.receiverKey}.devices`, name), `device=${device}\n`);
    const receiver = { address: "127.0.0.1:1", pins: [this.#receiver.fingerprint] };
    return writeSecret(join(this.#folder, `${device}.key`), formatKeyFile({ seed: pair.seed, receiver }));
  }
}

/** A certificate and its key in one file, as other programs take it. */
export function writeCertificate(path: string): string {
  const { certificate, privateKey } = identityOf(newPair());
  return writeSecret(path, certificate + privateKey);
}
