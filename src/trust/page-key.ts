/**
 * The key and certificate of the page, in one file that only its owner reads: made once, because a browser that was
 * told to trust it remembers exactly this certificate.
 */
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { ExitStatus, UserError } from "../errors.ts";
import { webCertificate } from "../security/certificate.ts";
import { describe, errorCode } from "../system/errno.ts";
import { createPrivateFile, readSmallFileIfThere } from "../system/small-file.ts";

const fileBytesMax = 65_536;
const serialBytes = 16;

export interface PageKey {
  /** PEM. */
  readonly certificate: string;
  /** PEM. Secret. */
  readonly privateKey: string;
  /** SHA-256 of the certificate as browsers show it: `AB:CD:…`. */
  readonly fingerprint: string;
}

/** Reads it, or makes it for these names where there is none. Throws UserError. */
export function readOrMakePageKey(path: string, names: readonly string[]): PageKey {
  try {
    return readPageKey(path) ?? makePageKey(path, names);
  } catch (error) {
    if (error instanceof UserError || errorCode(error) === "") throw error;
    throw new UserError(`cannot read the page's key ${path}: ${describe(error)}`, [], ExitStatus.failure);
  }
}

function makePageKey(path: string, names: readonly string[]): PageKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const usable = names.filter((name) => /^[A-Za-z\d.-]+$/.test(name));
  const certificate = webCertificate(privateKey, randomBytes(serialBytes), usable);
  createPrivateFile(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString() + certificate);
  // Another framepipe may have been first.
  const made = readPageKey(path);
  if (made !== undefined) return made;
  throw new UserError(`${path} is gone as soon as it is made`, [], ExitStatus.failure);
}

/** Undefined: it is not there. */
function readPageKey(path: string): PageKey | undefined {
  const file = readSmallFileIfThere(path, fileBytesMax);
  if (file === undefined) return undefined;
  if (!file.isPrivate) {
    throw new UserError(`other users can read the page's key ${path}`, [`chmod 600 ${path}`], ExitStatus.failure);
  }
  try {
    const [privateKey = ""] = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n?/.exec(file.text) ?? [];
    const [certificate = ""] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/.exec(file.text) ?? [];
    const read = new X509Certificate(certificate);
    if (!read.checkPrivateKey(createPrivateKey(privateKey))) throw new Error("they do not belong together");
    const digits = createHash("sha256").update(read.raw).digest("hex").toUpperCase();
    return { certificate, privateKey, fingerprint: digits.match(/../g)?.join(":") ?? "" };
  } catch {
    throw new UserError(
      `${path} holds no private key and certificate that belong together`,
      ["remove it, and they are made"],
      ExitStatus.failure,
    );
  }
}
