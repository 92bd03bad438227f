// What the artifact store keeps about buckets, objects and uploads in parts.

import type { Checksum, ChecksumAlgorithm, ChecksumType } from "./checksums.ts";

export interface BucketRef {
  /** Twelve digits; bucket names are an account's own. */
  readonly account: string;
  readonly bucket: string;
}

export interface ObjectRef extends BucketRef {
  readonly key: string;
}

export interface UploadRef extends ObjectRef {
  readonly uploadId: string;
}

export interface BucketRecord {
  readonly name: string;
  readonly region: string;
  /** Epoch ms. */
  readonly createdAt: number;
}

/** What the uploader says about an object. */
export interface ObjectDescription {
  /** Standard headers that are returned as they came, by lower-case name: `content-type`, `cache-control` and so on. */
  readonly headers: Readonly<Record<string, string>>;
  /** `x-amz-meta-` headers without that prefix. */
  readonly userMetadata: Readonly<Record<string, string>>;
}

/** What a listing shows of an object. */
export interface ObjectSummary {
  readonly key: string;
  readonly sizeBytes: number;
  /** MD5 in hex, without quotes; of an object of parts, the MD5 of their MD5s with `-` and their number. */
  readonly etag: string;
  /** Epoch ms. */
  readonly lastModified: number;
  readonly checksum: Checksum | null;
}

export interface ObjectRecord extends ObjectSummary, ObjectDescription {
  /** Data files in order. */
  readonly segments: readonly Segment[];
}

/** One data file of an object. */
export interface Segment {
  readonly fileId: string;
  readonly sizeBytes: number;
}

export interface UploadRecord extends ObjectDescription {
  readonly key: string;
  readonly uploadId: string;
  /** Epoch ms. */
  readonly createdAt: number;
  readonly checksum: UploadChecksum | null;
}

/** Which checksum the finished object gets. */
export interface UploadChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
}

export interface PartRecord {
  /** 1 to 10,000. */
  readonly number: number;
  readonly sizeBytes: number;
  /** MD5 in hex. */
  readonly etag: string;
  /** Epoch ms. */
  readonly lastModified: number;
  readonly checksum: Checksum | null;
  readonly fileId: string;
}
