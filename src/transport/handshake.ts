/**
 * Whom a TLS connection leads to. Bun's own verdict (`success`, `authorized`) is about authorities and dates, of which
 * there are none here, and its certificate is a *claimed* one: so everything that must hold is asked for, one by one.
 */
import type { ProvenKey } from "../ports.ts";
import { publicKeyOfCertificate } from "../security/certificate.ts";
import { joinExporterBytes, joinExporterLabel } from "../security/join-proof.ts";
import { fingerprintOf } from "../security/key-pair.ts";

/** What is spoken inside of TLS, as ALPN has it. */
export const alpn = "framepipe/1";

/** What a TLS socket of Bun says of its peer. */
export interface TlsPeer {
  readonly alpnProtocol: string | false | null;
  getTLSVersion(): string;
  isSessionReused(): boolean;
  exportKeyingMaterial(length: number, label: string, context: Buffer): Buffer;
  getPeerX509Certificate(): { readonly raw: Uint8Array } | undefined;
}

/** Why a connection is not what it should be, for a person. */
export class HandshakeFault extends Error {
  override readonly name = "HandshakeFault";
  /** What a person can do. */
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

const otherKeyHint =
  "if it is the receiver that is meant, and its key a new one: let this device in anew (--invite there, --join here)";

/** Who looks: a receiver at whoever comes, or a sender that expects one of these keys. */
export type Looking = { readonly as: "receiver" } | { readonly as: "sender"; readonly pins: readonly string[] };

/**
 * The peer's key, proven on this connection. `success` and `error` are those of Bun's handler. Throws HandshakeFault,
 * or whatever Bun throws.
 */
export function authenticate(peer: TlsPeer, success: boolean, error: Error | null, looking: Looking): ProvenKey {
  // A sender is told false also when all is well: nobody vouches for a certificate that is its own.
  if (looking.as === "receiver" && !success) {
    throw new HandshakeFault(`no handshake of TLS with keys came about${codeOf(error)}`);
  }
  const exporter = exported(peer, error);
  const version = peer.getTLSVersion();
  if (version !== "TLSv1.3") throw new HandshakeFault(`${version}, expected TLSv1.3`);
  if (peer.alpnProtocol !== alpn) throw new HandshakeFault(`it does not speak ${alpn} (ALPN)`);
  if (peer.isSessionReused()) throw new HandshakeFault("an earlier connection was resumed, which proves no key");
  const certificate = peer.getPeerX509Certificate();
  if (certificate === undefined) throw new HandshakeFault("it showed no key");
  const spki = publicKeyOfCertificate(certificate.raw);
  if (spki === undefined) throw new HandshakeFault("its certificate has no key that could prove anything");
  const fingerprint = fingerprintOf(spki);
  if (looking.as === "sender" && !looking.pins.includes(fingerprint)) {
    throw new HandshakeFault(`it has the key ${fingerprint}, expected ${looking.pins.join(" or ")}`, otherKeyHint);
  }
  return { fingerprint, exporter };
}

/** Throws when the handshake is not complete, and so, above all, when the peer does not hold its certificate's key. */
function exported(peer: TlsPeer, error: Error | null): Uint8Array {
  try {
    return new Uint8Array(peer.exportKeyingMaterial(joinExporterBytes, joinExporterLabel, Buffer.alloc(0)));
  } catch {
    throw new HandshakeFault(`no handshake of TLS with keys came about${codeOf(error)}`);
  }
}

function codeOf(error: Error | null): string {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === "string" ? ` (${code})` : "";
}
