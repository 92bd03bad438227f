// S3 requests made by hand, for the forms and faults that no client produces.

import { createHash, createHmac } from "node:crypto";
import { request, type IncomingMessage } from "node:http";
import { CREDENTIALS, REGION } from "./service.ts";

export interface RawRequest {
  readonly method?: string;
  /** Path and query, escaped. */
  readonly target: string;
  readonly headers?: Record<string, string>;
  /** Body as it goes over the wire; a function gets the request's own signature, for chunks. */
  readonly body?: Buffer | ((chain: Chain) => Buffer);
  /** `x-amz-content-sha256`; the hash of the body when left out. */
  readonly payload?: string;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** Of an error document. */
  readonly code: string | undefined;
}

export interface Chain {
  /** The signature of the next chunk. */
  chunk(data: Buffer): string;
  trailer(lines: string): string;
}

/** Signs and sends a request, and reads the whole answer. */
export async function send(endpoint: string, raw: RawRequest): Promise<RawAnswer> {
  const { method, headers, body } = signed(endpoint, raw);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request(
    `${endpoint}/`,
    { method, path: raw.target, headers, agent: false },
    resolve,
  );
  sent.on("error", reject);
  sent.end(body);
  const answer = await promise;
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return {
    ...{ status: answer.statusCode ?? 0, headers: answer.headers, text },
    code: /<Code>(.*?)<\/Code>/.exec(text)?.[1],
  };
}

/** Headers with signature, and the body they are for. */
export function signed(endpoint: string, { method = "GET", target, ...rest }: RawRequest) {
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${timestamp.slice(0, 8)}/${REGION}/s3/aws4_request`;
  const plain = typeof rest.body === "function" ? undefined : (rest.body ?? Buffer.alloc(0));
  const payload = rest.payload ?? sha256(plain ?? "");
  const headers: Record<string, string> = {
    host: new URL(endpoint).host,
    "x-amz-date": timestamp,
    "x-amz-content-sha256": payload,
    ...rest.headers,
  };
  const names = Object.keys(headers).sort();
  const [path = "", query = ""] = target.split("?");
  const canonical = [
    method,
    path,
    query
      .split("&")
      .map((part) => (part && !part.includes("=") ? `${part}=` : part))
      .sort()
      .join("&"),
    ...names.map((name) => `${name}:${headers[name] ?? ""}`),
    "",
    names.join(";"),
    payload,
  ].join("\n");
  const key = scope
    .split("/")
    .reduce<Buffer>(
      (previous, part) => hmac(previous, part),
      Buffer.from(`AWS4${CREDENTIALS.secretAccessKey}`),
    );
  const sign = (...lines: string[]) => hmac(key, lines.join("\n")).toString("hex");
  let previous = sign("AWS4-HMAC-SHA256", timestamp, scope, sha256(canonical));
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${CREDENTIALS.accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${previous}`;
  const link = (algorithm: string, ...hashes: string[]) =>
    (previous = sign(algorithm, timestamp, scope, previous, ...hashes));
  const chain: Chain = {
    chunk: (data) => link("AWS4-HMAC-SHA256-PAYLOAD", sha256(""), sha256(data)),
    trailer: (lines) => link("AWS4-HMAC-SHA256-TRAILER", sha256(lines)),
  };
  const body = typeof rest.body === "function" ? rest.body(chain) : (plain ?? Buffer.alloc(0));
  if (rest.headers?.["transfer-encoding"] === undefined)
    headers["content-length"] ??= String(body.length);
  return { method, headers, body };
}

function sha256(data: string | Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
