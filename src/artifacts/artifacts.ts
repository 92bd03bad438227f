// Where code artifacts come from. Two implementations: this service's own S3-compatible store, or a real S3 endpoint.

import type { Readable } from "node:stream";

export interface Artifact {
  readonly sizeBytes: number;
  readonly body: Readable;
}

export interface ArtifactSource {
  /** Whose buckets are meant. A real S3 endpoint has those of its own credentials alone. */
  readonly account: string;
  /** `s3://bucket/key` */
  readonly uri: string;
}

export interface ArtifactReader {
  /**
   * Opens an object. Rejects BUILD_FAILED with `details.reasonCode` S3_NO_SUCH_BUCKET,
   * S3_NO_SUCH_KEY, S3_ACCESS_DENIED or S3_INVALID_OBJECT.
   */
  open(source: ArtifactSource, signal: AbortSignal): Promise<Artifact>;
}
