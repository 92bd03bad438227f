// A real API server on loopback over small fakes of the domain, the SDK's clients for it, and a way to send what no
// SDK would send.

import { createHash, createHmac, createSecretKey } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { LambdaMicrovmsClient } from "@aws-sdk/client-lambda-microvms";
import { STSClient } from "@aws-sdk/client-sts";
import type { Probes } from "../../../src/api/routes/probes.ts";
import type { OperationFact } from "../../../src/api/routes/route.ts";
import type { RateLimiter } from "../../../src/api/rate-limit.ts";
import type { ApiLimits, ApiServer } from "../../../src/api/server.ts";
import { createApiServer } from "../../../src/api/server.ts";
import { createManagedImages, DEFAULT_MANAGED_IMAGES } from "../../../src/images/managed.ts";
import type { ConnectorOperations } from "../../../src/connectors/operations.ts";
import type { ImageOperations } from "../../../src/images/operations.ts";
import { ServiceError } from "../../../src/errors.ts";
import { createLog } from "../../../src/lib/log.ts";
import type { Trace } from "../../../src/lib/trace.ts";
import type { MicrovmOperations } from "../../../src/microvms/operations.ts";
import type { TokenClaims } from "../../../src/tokens/tokens.ts";
import {
  ACCOUNT,
  buildRecord,
  imageRecord,
  imageVersionRecord,
  microvmRecord,
  REGION,
} from "../../unit/api/fixtures.ts";

export const KEY = { accessKeyId: "AKIATORPOR0000000000", secretAccessKey: "s3cr3t/Key+for=tests" };
/** Of another account. */
export const OTHER_KEY = {
  accessKeyId: "AKIATORPOR0000000001",
  secretAccessKey: "an0ther/Key+for=tests",
};
export const OTHER_ACCOUNT = "111122223333";

const KEYS = new Map([
  [KEY.accessKeyId, { ...KEY, account: ACCOUNT }],
  [OTHER_KEY.accessKeyId, { ...OTHER_KEY, account: OTHER_ACCOUNT }],
]);

/** A call that reached the domain: its name and arguments without the scope. */
export type DomainCall = readonly [string, ...unknown[]];

export interface HarnessOptions {
  readonly microvms?: Partial<MicrovmOperations>;
  readonly images?: Partial<ImageOperations>;
  readonly connectors?: ConnectorOperations;
  readonly rates?: RateLimiter;
  readonly probes?: Probes;
  readonly regions?: readonly string[];
  readonly observe?: (fact: OperationFact) => void;
  readonly trace?: Trace;
  readonly limits?: Partial<ApiLimits>;
}

export interface Harness extends AsyncDisposable {
  readonly server: ApiServer;
  readonly endpoint: string;
  readonly port: number;
  readonly lambda: LambdaMicrovmsClient;
  readonly sts: STSClient;
  readonly calls: DomainCall[];
  readonly minted: TokenClaims[];
  readonly logged: string[];
}

/** Starts a server and clients. Domain calls that a test does not replace answer with the fixtures. */
export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const calls: DomainCall[] = [];
  const minted: TokenClaims[] = [];
  const logged: string[] = [];
  const server = await createApiServer(
    {
      microvms: { ...fakeMicrovms(calls), ...options.microvms },
      images: { ...fakeImages(calls), ...options.images },
      connectors: options.connectors ?? noConnectors(),
      ...(options.rates && { rates: options.rates }),
      ...(options.probes && { probes: options.probes }),
      ...(options.regions && { regions: options.regions }),
      ...(options.observe && { observe: options.observe }),
      ...(options.trace && { trace: options.trace }),
      tokens: {
        async mint(claims) {
          minted.push(claims);
          return `jwe-${minted.length}`;
        },
      },
      findKey: (accessKeyId) => KEYS.get(accessKeyId),
      s3: async (_request, response) => void response.end("s3 was here"),
      ingressAuthority: (region) => `lambda-microvm.${region}.localhost:7443`,
      cursorKey: createSecretKey(Buffer.alloc(32, 7)),
      clock: { now: () => Date.now() },
      log: createLog("debug", (line) => void logged.push(line)),
    },
    { listen: { host: "127.0.0.1", port: 0 }, ...(options.limits && { limits: options.limits }) },
  );
  const { port } = server.address;
  const endpoint = `http://127.0.0.1:${port}`;
  const client = { endpoint, region: REGION, credentials: KEY, maxAttempts: 1 };
  const lambda = new LambdaMicrovmsClient(client);
  const sts = new STSClient(client);
  return {
    server,
    endpoint,
    port,
    lambda,
    sts,
    calls,
    minted,
    logged,
    async [Symbol.asyncDispose]() {
      lambda.destroy();
      sts.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

function fakeMicrovms(calls: DomainCall[]): MicrovmOperations {
  const remember = async (...call: DomainCall) => void calls.push(call);
  return {
    async run(_scope, input) {
      await remember("run", input);
      return microvmRecord({ state: "PENDING" });
    },
    async get(_scope, microvmId) {
      await remember("get", microvmId);
      return microvmRecord({ microvmId });
    },
    async list(_scope, filter, page) {
      await remember("list", filter, page);
      return { items: [microvmRecord()], next: null };
    },
    suspend: (_scope, microvmId) => remember("suspend", microvmId),
    resume: (_scope, microvmId) => remember("resume", microvmId),
    terminate: (_scope, microvmId) => remember("terminate", microvmId),
  };
}

function fakeImages(calls: DomainCall[]): ImageOperations {
  const managed = createManagedImages(DEFAULT_MANAGED_IMAGES);
  return {
    async create(_scope, input) {
      calls.push(["create", input]);
      return {
        image: imageRecord({ state: "CREATING", latestActiveImageVersion: null }),
        version: imageVersionRecord({ state: "PENDING" }),
      };
    },
    async update(_scope, input) {
      calls.push(["update", input]);
      return {
        image: imageRecord({ state: "UPDATING" }),
        version: imageVersionRecord({ state: "PENDING", imageVersion: "2.0" }),
      };
    },
    async get(_scope, imageArn) {
      calls.push(["get", imageArn]);
      return imageRecord();
    },
    async getVersion(_scope, imageArn, imageVersion) {
      calls.push(["getVersion", imageArn, imageVersion]);
      return imageVersionRecord();
    },
    async list(_scope, page, nameFilter) {
      calls.push(["list", page, nameFilter]);
      return { items: [imageRecord()], next: null };
    },
    async delete(_scope, imageArn) {
      calls.push(["delete", imageArn]);
      return imageRecord({ state: "DELETING" });
    },
    async listVersions(_scope, imageArn, page) {
      calls.push(["listVersions", imageArn, page]);
      return { items: [imageVersionRecord()], next: null };
    },
    async setVersionStatus(_scope, imageArn, imageVersion, status) {
      calls.push(["setVersionStatus", imageArn, imageVersion, status]);
      return imageVersionRecord({ status });
    },
    async deleteVersion(_scope, imageArn, imageVersion) {
      calls.push(["deleteVersion", imageArn, imageVersion]);
      return imageVersionRecord({ state: "DELETING" });
    },
    async getBuild(_scope, imageArn, imageVersion, buildId) {
      calls.push(["getBuild", imageArn, imageVersion, buildId]);
      return buildRecord();
    },
    async listBuilds(_scope, imageArn, imageVersion, filter, page) {
      calls.push(["listBuilds", imageArn, imageVersion, filter, page]);
      return { items: [buildRecord()], next: null };
    },
    async listManaged(scope, page) {
      calls.push(["listManaged", page]);
      return { items: managed.list(scope), next: null };
    },
    async listManagedVersions(scope, imageArn, page) {
      calls.push(["listManagedVersions", imageArn, page]);
      return { items: managed.versions(scope, imageArn), next: null };
    },
    async getTags(_scope, imageArn) {
      calls.push(["getTags", imageArn]);
      return {};
    },
    async tag(_scope, imageArn, tags) {
      calls.push(["tag", imageArn, tags]);
    },
    async untag(_scope, imageArn, keys) {
      calls.push(["untag", imageArn, keys]);
    },
  };
}

/** None, for tests that are about something else. */
function noConnectors(): ConnectorOperations {
  const missing = () => Promise.reject(new ServiceError("NOT_FOUND", "No connectors here"));
  return {
    ...{ create: missing, get: missing, list: missing, update: missing, delete: missing },
    ...{ getTags: missing, tag: missing, untag: missing },
  };
}

export interface RawRequest {
  readonly method: string;
  /** Path and query exactly as sent. */
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RawResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends a request as it is. */
export async function send(port: number, raw: RawRequest): Promise<RawResponse> {
  const { method, path, body, headers = {} } = raw;
  const request = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent: false });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await text(response),
  };
}

export interface SigningOptions {
  readonly service?: string;
  readonly region?: string;
  readonly date?: Date;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  /** Named in `x-amz-content-sha256` instead of the body's own hash, which is named nowhere. */
  readonly payloadHash?: string;
}

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Uint8Array, data: string) =>
  createHmac("sha256", key).update(data).digest();

/** The request with a Signature Version 4 of its own making: an independent check of the server's. */
export function sign(port: number, raw: RawRequest, options: SigningOptions = {}): RawRequest {
  const { service = "lambda", region = REGION, date = new Date() } = options;
  const { accessKeyId, secretAccessKey } = { ...KEY, ...options };
  const time = date.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const [path = "", query = ""] = raw.path.split("?");
  const { payloadHash } = options;
  const headers: Record<string, string> = {
    host: `127.0.0.1:${port}`,
    "x-amz-date": time,
    ...(payloadHash === undefined ? {} : { "x-amz-content-sha256": payloadHash }),
  };
  const names = Object.keys(headers).sort();
  const canonical = [
    raw.method,
    path.split("/").map(encode).join("/"),
    query.split("&").sort().join("&"),
    ...names.map((name) => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    payloadHash ?? sha256(raw.body ?? ""),
  ].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(
    hmac,
    `AWS4${secretAccessKey}`,
  );
  const authorization =
    `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, ` +
    `SignedHeaders=${names.join(";")}, Signature=${hmac(key, toSign).toString("hex")}`;
  return { ...raw, headers: { ...headers, authorization, ...raw.headers } };
}

/** Signs and sends. */
export function sendSigned(
  { port }: Pick<Harness, "port">,
  raw: RawRequest,
  options: SigningOptions = {},
): Promise<RawResponse> {
  return send(port, sign(port, raw, options));
}

function encode(segment: string): string {
  return encodeURIComponent(segment).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
