// `s3://bucket/key` taken apart, and the failures of fetching what it names.

import { ServiceError, type ServiceErrorOptions } from "../errors.ts";

export type ArtifactFailure =
  | "S3_NO_SUCH_BUCKET"
  | "S3_NO_SUCH_KEY"
  | "S3_ACCESS_DENIED"
  | "S3_INVALID_OBJECT"
  | "S3_CROSS_REGION_ACCESS_DENIED"
  | "INTERNAL_PLATFORM_ERROR";

/** Largest code artifact, in bytes. */
export const MAX_ARTIFACT_BYTES = 2 * 1024 ** 3;

/** Bucket and key of an artifact's URI. Throws BUILD_FAILED S3_INVALID_OBJECT for anything else. */
export function parseArtifactUri(uri: string): { bucket: string; key: string } {
  const found = /^s3:\/\/([^/]{1,255})\/(.+)$/s.exec(uri);
  const [, bucket, key] = found ?? [];
  if (bucket === undefined || key === undefined)
    throw artifactError("S3_INVALID_OBJECT", uri, "it is not of the form s3://bucket/key");
  return { bucket, key };
}

/** BUILD_FAILED with the service's own reason. */
export function artifactError(
  reasonCode: ArtifactFailure,
  uri: string,
  why: string,
  options: ServiceErrorOptions = {},
): ServiceError {
  return new ServiceError("BUILD_FAILED", `Cannot fetch artifact "${uri}": ${why}`, {
    ...options,
    details: { ...options.details, reasonCode },
  });
}

/** Throws BUILD_FAILED S3_INVALID_OBJECT for an object that is larger than artifacts may be. */
export function checkArtifactSize(uri: string, sizeBytes: number, maxBytes: number): void {
  if (sizeBytes > maxBytes)
    throw artifactError(
      "S3_INVALID_OBJECT",
      uri,
      `it has ${sizeBytes} bytes, more than the ${maxBytes} that an artifact may have`,
    );
}
