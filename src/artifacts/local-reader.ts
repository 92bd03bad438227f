// Code artifacts from this machine's own store.

import { isServiceError } from "../errors.ts";
import type { ArtifactReader } from "./artifacts.ts";
import {
  artifactError,
  checkArtifactSize,
  MAX_ARTIFACT_BYTES,
  parseArtifactUri,
} from "./artifact-uri.ts";
import type { ArtifactStore } from "./local.ts";
import type { OpenObject } from "./objects.ts";

export interface ReaderOptions {
  readonly maxBytes?: number;
}

/** Reads the objects of the account that asks. A stream that was opened shows one version of the object to its end. */
export function createLocalReader(
  { store }: { readonly store: Pick<ArtifactStore, "objects"> },
  { maxBytes = MAX_ARTIFACT_BYTES }: ReaderOptions = {},
): ArtifactReader {
  return {
    async open({ account, uri }, signal) {
      signal.throwIfAborted();
      using opened = openObject(store, account, uri);
      const { sizeBytes } = opened.record;
      checkArtifactSize(uri, sizeBytes, maxBytes);
      return { sizeBytes, body: opened.read() };
    },
  };
}

function openObject(
  store: Pick<ArtifactStore, "objects">,
  account: string,
  uri: string,
): OpenObject {
  const { bucket, key } = parseArtifactUri(uri);
  try {
    return store.objects.open({ account, bucket, key });
  } catch (error) {
    if (!isServiceError(error)) throw error;
    const cause = { cause: error };
    switch (error.details["s3Code"]) {
      case "NoSuchBucket":
        throw artifactError("S3_NO_SUCH_BUCKET", uri, "there is no such bucket", cause);
      case "NoSuchKey":
        throw artifactError("S3_NO_SUCH_KEY", uri, "there is no such object", cause);
      default:
        throw artifactError("INTERNAL_PLATFORM_ERROR", uri, error.message, cause);
    }
  }
}
