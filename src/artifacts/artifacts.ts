// Where code artifacts come from. Two implementations: this service's own S3-compatible store, or a real S3 endpoint.

import type { Readable } from "node:stream";

export interface Artifact {
  readonly sizeBytes: number;
  readonly body: Readable;
}

export interface ArtifactReader {
  /**
   * Opens the object at `s3://bucket/key`. Rejects BUILD_FAILED with `details.reasonCode` S3_NO_SUCH_BUCKET,
   * S3_NO_SUCH_KEY, S3_ACCESS_DENIED or S3_INVALID_OBJECT.
   */
  open(uri: string, signal: AbortSignal): Promise<Artifact>;
}
