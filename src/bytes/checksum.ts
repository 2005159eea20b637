/**
 * CRC-32 (IEEE 802.3, as in zip and PNG), piece by piece. It finds damage, not malice: that is TLS's work.
 * Measured at 10 GB/s and more here, so every frame has one.
 */

/** The checksum of what `previous` covered followed by `view`. Start with `previous` = 0. */
export function crc32(view: Uint8Array, previous = 0): number {
  return Bun.hash.crc32(view, previous);
}
