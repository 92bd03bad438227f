// The artifact store behind a plain HTTP server on loopback, with the SDK's client for it.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3Limits } from "../../../src/api/s3/call.ts";
import { createS3Handler } from "../../../src/api/s3/handler.ts";
import { openLocalStore, type ArtifactStore } from "../../../src/artifacts/local.ts";
import { silentLog } from "../../../src/lib/log.ts";

export const CREDENTIALS = {
  accessKeyId: "AKIAAAAAAAAAAAAAAAAA",
  secretAccessKey: "s".repeat(40),
};
export const ACCOUNT = "123456789012";
/** Of another account. */
export const OTHER_CREDENTIALS = {
  accessKeyId: "AKIAOTHERACCOUNT2222",
  secretAccessKey: "t".repeat(40),
};
export const OTHER_ACCOUNT = "999999999999";
export const REGION = "eu-west-1";

export interface TestService extends AsyncDisposable {
  readonly endpoint: string;
  readonly store: ArtifactStore;
  readonly s3: S3Client;
  /** Another client; the caller destroys it. */
  client(config?: S3ClientConfig): S3Client;
  /** Names of the data files on disk. */
  dataFiles(): Promise<string[]>;
  /** Resolves when the handler has finished every request it began. */
  settled(): Promise<void>;
}

/** Starts a service on a directory of its own, or on the caller's. */
export async function startService(
  options: { directory?: string; limits?: Partial<S3Limits>; skewMs?: number } = {},
): Promise<TestService> {
  await using acquired = new AsyncDisposableStack();
  const directory = options.directory ?? (await mkdtemp(path.join(tmpdir(), "torpor-s3-")));
  if (options.directory === undefined) acquired.defer(() => rm(directory, { recursive: true }));
  const log = silentLog();
  const store = acquired.use(await openLocalStore({ log, now: () => Date.now() }, directory));
  const keys = new Map([
    [CREDENTIALS.accessKeyId, { ...CREDENTIALS, account: ACCOUNT }],
    [OTHER_CREDENTIALS.accessKeyId, { ...OTHER_CREDENTIALS, account: OTHER_ACCOUNT }],
  ]);
  const findKey = (id: string) => keys.get(id);
  const clock = { now: () => Date.now() + (options.skewMs ?? 0) };
  const handle = createS3Handler({ artifacts: store, findKey, clock, log }, options.limits);
  const running = new Set<Promise<void>>();
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const work = handle(request, response).finally(() => running.delete(work));
    running.add(work);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const settled = async () => {
    while (running.size > 0) await Promise.all(running);
  };
  acquired.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await settled();
  });
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  const client = (config: S3ClientConfig = {}) =>
    new S3Client({
      ...{ endpoint, region: REGION, credentials: CREDENTIALS, forcePathStyle: true },
      maxAttempts: 1,
      ...config,
    });
  const s3 = client();
  acquired.defer(() => s3.destroy());
  const resources = acquired.move();
  return {
    ...{ endpoint, store, s3, client, settled },
    dataFiles: () => readdir(path.join(directory, "data")),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
