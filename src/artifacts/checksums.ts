// S3's object checksums: computed while data passes, and derived for objects made of parts.

import { createHash } from "node:crypto";
import {
  createCrc,
  CRC_PARAMETERS,
  joinCrcs,
  type CrcAlgorithm,
  type RunningDigest,
} from "./crc.ts";

export const CHECKSUM_ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

export const CHECKSUM_TYPES = ["FULL_OBJECT", "COMPOSITE"] as const;
export type ChecksumType = (typeof CHECKSUM_TYPES)[number];

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  /** Base64; a composite one ends in `-` and the number of parts. */
  readonly value: string;
}

/** Bytes of each algorithm's digest. */
export const DIGEST_BYTES: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

/** A checksum that is fed piece by piece. */
export function createChecksum(algorithm: ChecksumAlgorithm): RunningDigest {
  if (isCrc(algorithm)) return createCrc(algorithm);
  const hash = createHash(algorithm === "SHA1" ? "sha1" : "sha256");
  return { update: (chunk) => void hash.update(chunk), digest: () => hash.digest() };
}

/** The types that S3 offers for an object of parts, its own choice first. */
export function multipartTypes(algorithm: ChecksumAlgorithm): readonly ChecksumType[] {
  if (algorithm === "CRC64NVME") return ["FULL_OBJECT"];
  return isCrc(algorithm) ? ["COMPOSITE", "FULL_OBJECT"] : ["COMPOSITE"];
}

export interface PartChecksum {
  /** Base64. */
  readonly value: string;
  readonly sizeBytes: number;
}

/** The checksum of an object from those of its parts. A full-object one exists for CRCs only. */
export function joinChecksums(
  algorithm: ChecksumAlgorithm,
  type: ChecksumType,
  parts: readonly PartChecksum[],
): Checksum {
  const pieces = parts.map(({ value, sizeBytes }) => ({
    digest: Buffer.from(value, "base64"),
    sizeBytes,
  }));
  if (type === "FULL_OBJECT") {
    if (!isCrc(algorithm)) throw new TypeError(`${algorithm} values cannot be joined`);
    return { algorithm, type, value: joinCrcs(algorithm, pieces).toString("base64") };
  }
  const ofAll = createChecksum(algorithm);
  for (const { digest } of pieces) ofAll.update(digest);
  return { algorithm, type, value: `${ofAll.digest().toString("base64")}-${parts.length}` };
}

function isCrc(algorithm: ChecksumAlgorithm): algorithm is CrcAlgorithm {
  return Object.hasOwn(CRC_PARAMETERS, algorithm);
}
