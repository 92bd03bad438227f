// Code artifacts from a real S3 endpoint.

import { Readable } from "node:stream";
import { GetObjectCommand, S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { isServiceError, messageOf } from "../errors.ts";
import type { ArtifactReader } from "./artifacts.ts";
import {
  artifactError,
  checkArtifactSize,
  MAX_ARTIFACT_BYTES,
  parseArtifactUri,
  type ArtifactFailure,
} from "./artifact-uri.ts";

export interface RemoteEndpoint {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface RemoteReaderOptions {
  readonly maxBytes?: number;
  readonly connectTimeoutMs?: number;
  /** For the response's first byte, and between bytes. */
  readonly stallTimeoutMs?: number;
}

export type RemoteReader = ArtifactReader & AsyncDisposable;

/** Inside the build's own limit of time, so that a dead endpoint is named as the reason. */
const CONNECT_TIMEOUT_MS = 10_000;
const STALL_TIMEOUT_MS = 60_000;

/** Reads from the endpoint with path-style addresses. Disposing it closes its idle connections. */
export function createRemoteReader(
  { endpoint, region, accessKeyId, secretAccessKey }: RemoteEndpoint,
  options: RemoteReaderOptions = {},
): RemoteReader {
  const { maxBytes = MAX_ARTIFACT_BYTES } = options;
  const client = new S3Client({
    ...{ endpoint, region, forcePathStyle: true, maxAttempts: 3 },
    credentials: { accessKeyId, secretAccessKey },
    // Many S3-compatible stores know no checksum headers.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      socketTimeout: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
    },
  });
  return {
    open: ({ uri }, signal) => openRemote(client, uri, maxBytes, signal),
    [Symbol.asyncDispose]: () => {
      client.destroy();
      return Promise.resolve();
    },
  };
}

async function openRemote(client: S3Client, uri: string, maxBytes: number, signal: AbortSignal) {
  const { bucket, key } = parseArtifactUri(uri);
  const output = await failingAsArtifact(uri, signal, () =>
    client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal: signal }),
  );
  const { Body: body, ContentLength: sizeBytes } = output;
  if (!(body instanceof Readable))
    throw artifactError("S3_INVALID_OBJECT", uri, "the endpoint sent no object");
  try {
    if (sizeBytes === undefined)
      throw artifactError("S3_INVALID_OBJECT", uri, "the endpoint did not say its size");
    checkArtifactSize(uri, sizeBytes, maxBytes);
  } catch (error) {
    body.destroy();
    throw error;
  }
  const checked = Readable.from(checkedBody(body, uri, sizeBytes, signal), { objectMode: false });
  // A stream that is given up before it was read would never reach the generator's own clean-up.
  checked.once("close", () => body.destroy());
  return { sizeBytes, body: checked };
}

/** The body as it comes, ending only after as many bytes as were announced. */
async function* checkedBody(body: Readable, uri: string, sizeBytes: number, signal: AbortSignal) {
  let received = 0;
  const chunks = body.iterator() as AsyncIterableIterator<Buffer>;
  for (;;) {
    const next = await failingAsArtifact(uri, signal, () => chunks.next());
    if (next.done === true) break;
    received += next.value.length;
    if (received > sizeBytes) break;
    yield next.value;
  }
  if (received !== sizeBytes)
    throw artifactError(
      "INTERNAL_PLATFORM_ERROR",
      uri,
      `${received} of ${sizeBytes} bytes arrived`,
    );
}

async function failingAsArtifact<T>(
  uri: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (isServiceError(error)) throw error;
    throw artifactError(reasonOf(error), uri, messageOf(error), { cause: error });
  }
}

function reasonOf(error: unknown): ArtifactFailure {
  if (!(error instanceof S3ServiceException)) return "INTERNAL_PLATFORM_ERROR";
  switch (error.name) {
    case "NoSuchBucket":
      return "S3_NO_SUCH_BUCKET";
    case "NoSuchKey":
      return "S3_NO_SUCH_KEY";
    case "InvalidObjectState":
    case "KeyTooLongError":
    case "InvalidBucketName":
      return "S3_INVALID_OBJECT";
    case "PermanentRedirect":
    case "IllegalLocationConstraintException":
      return "S3_CROSS_REGION_ACCESS_DENIED";
  }
  const status = error.$metadata.httpStatusCode;
  if (status === 401 || status === 403) return "S3_ACCESS_DENIED";
  if (status === 301) return "S3_CROSS_REGION_ACCESS_DENIED";
  if (status === 404) return "S3_NO_SUCH_KEY";
  return status !== undefined && status < 500 ? "S3_INVALID_OBJECT" : "INTERNAL_PLATFORM_ERROR";
}
