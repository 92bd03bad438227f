// What a user does with a running service, with the AWS SDK and plain HTTPS: upload an artifact, build an image, run,
// call, wait for states.

import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import https from "node:https";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import {
  CreateMicrovmAuthTokenCommand,
  CreateMicrovmImageCommand,
  type CreateMicrovmImageCommandInput,
  GetMicrovmCommand,
  type GetMicrovmCommandOutput,
  GetMicrovmImageVersionCommand,
  type GetMicrovmImageVersionCommandOutput,
  ListMicrovmImageBuildsCommand,
  LambdaMicrovmsClient,
} from "@aws-sdk/client-lambda-microvms";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { ZipFile } from "yazl";
import type { RunningService } from "./service.ts";

export interface Clients extends Disposable {
  readonly service: RunningService;
  readonly microvms: LambdaMicrovmsClient;
  readonly s3: S3Client;
  readonly region: string;
  readonly account: string;
}

/** SDK clients that take everything from what `torpor env` exports. */
export function createClients(service: RunningService): Clients {
  const { environment } = service;
  const region = environment["AWS_REGION"] ?? "";
  const settings = {
    endpoint: environment["AWS_ENDPOINT_URL"] ?? "",
    region,
    credentials: {
      accessKeyId: environment["AWS_ACCESS_KEY_ID"] ?? "",
      secretAccessKey: environment["AWS_SECRET_ACCESS_KEY"] ?? "",
    },
    maxAttempts: 1,
  };
  const microvms = new LambdaMicrovmsClient(settings);
  const s3 = new S3Client({ ...settings, forcePathStyle: true });
  return {
    ...{ service, microvms, s3, region },
    account: environment["AWS_ACCOUNT_ID"] ?? "",
    [Symbol.dispose]() {
      microvms.destroy();
      s3.destroy();
    },
  };
}

/** A zip of every file below `directory`. */
export async function zipDirectory(directory: string): Promise<Buffer> {
  const files: Record<string, Buffer> = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files[path.relative(directory, file)] = await readFile(file);
  }
  return zipFiles(files);
}

/** A zip of the given files. */
export async function zipFiles(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, content] of Object.entries(files)) zip.addBuffer(Buffer.from(content), name);
  zip.end();
  return buffer(zip.outputStream as NodeJS.ReadableStream);
}

/** Uploads an artifact and returns its `s3://` URI. */
export async function uploadArtifact(clients: Clients, key: string, zip: Buffer): Promise<string> {
  const Bucket = "artifacts";
  await clients.s3.send(new CreateBucketCommand({ Bucket }));
  await clients.s3.send(new PutObjectCommand({ Bucket, Key: key, Body: zip }));
  return `s3://${Bucket}/${key}`;
}

/** Creates an image of the smallest size class from an uploaded artifact and returns its ARN. */
export async function createImage(
  clients: Clients,
  name: string,
  uri: string,
  more: Partial<CreateMicrovmImageCommandInput> = {},
): Promise<string> {
  const created = await clients.microvms.send(
    new CreateMicrovmImageCommand({
      name,
      codeArtifact: { uri },
      baseImageArn: `arn:aws:lambda:${clients.region}:aws:microvm-image:al2023-1`,
      buildRoleArn: `arn:aws:iam::${clients.account}:role/build`,
      resources: [{ minimumMemoryInMiB: 512 }],
      ...more,
    }),
  );
  return created.imageArn ?? "";
}

/** Waits until a version's build has ended, whichever way. */
export async function waitForBuild(
  clients: Clients,
  imageIdentifier: string,
  timeoutMs = 600_000,
): Promise<GetMicrovmImageVersionCommandOutput> {
  return poll(timeoutMs, `the build of ${imageIdentifier}`, async () => {
    const version = await clients.microvms.send(
      new GetMicrovmImageVersionCommand({ imageIdentifier, imageVersion: "1.0" }),
    );
    return version.state === "SUCCESSFUL" || version.state === "FAILED" ? version : undefined;
  });
}

/** Why the build of an image's first version failed; empty when it did not. */
export async function buildReason(clients: Clients, imageIdentifier: string): Promise<string> {
  const version = { imageIdentifier, imageVersion: "1.0" };
  const { items = [] } = await clients.microvms.send(new ListMicrovmImageBuildsCommand(version));
  return items[0]?.stateReason ?? "";
}

/** Waits until a microVM is in one of `states`; fails at once when it ended and that was not asked for. */
export async function waitForState(
  clients: Clients,
  microvmIdentifier: string,
  states: readonly string[],
  timeoutMs = 120_000,
): Promise<GetMicrovmCommandOutput> {
  return poll(timeoutMs, `${microvmIdentifier} to be ${states.join(" or ")}`, async () => {
    const microvm = await clients.microvms.send(new GetMicrovmCommand({ microvmIdentifier }));
    if (states.includes(microvm.state ?? "")) return microvm;
    if (microvm.state === "TERMINATED") {
      throw new Error(`${microvmIdentifier} is TERMINATED: ${microvm.stateReason}`);
    }
    return undefined;
  });
}

/** A token for one port of a microVM. */
export async function mintToken(
  clients: Clients,
  microvmIdentifier: string,
  port = 8080,
): Promise<string> {
  const { authToken } = await clients.microvms.send(
    new CreateMicrovmAuthTokenCommand({
      microvmIdentifier,
      expirationInMinutes: 60,
      allowedPorts: [{ port }],
    }),
  );
  return authToken?.["X-aws-proxy-auth"] ?? "";
}

export interface CallOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly agent?: https.Agent;
}

export interface CallResult {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** One HTTPS request to a microVM's endpoint, with the service's own CA and nothing else trusted. */
export async function callEndpoint(
  service: RunningService,
  endpoint: string,
  token: string | undefined,
  options: CallOptions = {},
): Promise<CallResult> {
  const servername = endpoint.replace(/:\d+$/, "");
  const request = https.request({
    ...service.ingress,
    servername,
    ca: readFileSync(service.environment["TORPOR_CA"] ?? ""),
    agent: options.agent ?? false,
    method: options.method ?? "GET",
    path: options.path ?? "/",
    headers: {
      host: endpoint,
      ...(token === undefined ? {} : { "x-aws-proxy-auth": token }),
      ...options.headers,
    },
  });
  const answered = Promise.withResolvers<CallResult>();
  request.on("error", answered.reject);
  request.on("response", (response) => {
    buffer(response).then(
      (body) =>
        answered.resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: body.toString("utf8"),
        }),
      answered.reject,
    );
  });
  request.end(options.body);
  return answered.promise;
}

/** Calls `look` until it returns something, for at most `timeoutMs`. */
export async function poll<T>(
  timeoutMs: number,
  what: string,
  look: () => Promise<T | undefined>,
  everyMs = 100,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs / 1000} s for ${what}`);
    await delay(everyMs);
  }
}
