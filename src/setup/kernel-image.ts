// Takes the uncompressed kernel out of a Linux x86 boot image (bzImage), after Documentation/arch/x86/boot.rst.

import { zstdDecompressSync, gunzipSync } from "node:zlib";
import { ServiceError } from "../errors.ts";

export interface KernelPayload {
  readonly compression: "zstd" | "gzip" | "xz";
  /** The compressed kernel, without the length that the kernel's build appends to it. */
  readonly content: Buffer;
}

const MAGIC: ReadonlyArray<readonly [KernelPayload["compression"], Buffer]> = [
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["gzip", Buffer.from([0x1f, 0x8b])],
  ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
];

/** Bytes the kernel's build appends to a zstd or xz payload: its uncompressed length. */
const LENGTH_TRAILER = 4;

/** Finds the compressed kernel in a boot image. Rejects SETUP_FAILED when there is none this code knows. */
export function findKernelPayload(bootImage: Buffer): KernelPayload {
  if (bootImage.length < 0x250 || bootImage.toString("latin1", 0x202, 0x206) !== "HdrS") {
    throw new ServiceError("SETUP_FAILED", "Cannot unpack the guest kernel: not an x86 boot image");
  }
  const setupSectors = bootImage[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + bootImage.readUInt32LE(0x248);
  const end = start + bootImage.readUInt32LE(0x24c);
  if (end > bootImage.length) {
    throw new ServiceError(
      "SETUP_FAILED",
      "Cannot unpack the guest kernel: the image is cut short",
    );
  }
  const payload = bootImage.subarray(start, end);
  const known = MAGIC.find(([, magic]) => payload.subarray(0, magic.length).equals(magic));
  if (known === undefined) {
    throw new ServiceError(
      "SETUP_FAILED",
      "Cannot unpack the guest kernel: compressed with none of zstd, gzip and xz",
    );
  }
  const [compression] = known;
  const trailer = compression === "gzip" ? 0 : LENGTH_TRAILER;
  return { compression, content: payload.subarray(0, payload.length - trailer) };
}

/**
 * Uncompresses a payload. Node has no xz, so that one goes through `unxz`, which gets the compressed bytes and
 * resolves with the others.
 */
export async function decompressPayload(
  payload: KernelPayload,
  unxz: (content: Buffer) => Promise<Buffer>,
): Promise<Buffer> {
  switch (payload.compression) {
    case "zstd":
      return zstdDecompressSync(payload.content);
    case "gzip":
      return gunzipSync(payload.content);
    case "xz":
      return unxz(payload.content);
  }
}
