// Signature Version 4 in the query, for requests that a link makes.

import { createHash, createHmac } from "node:crypto";
import { KEY, type RawRequest } from "../../integration/api/harness.ts";
import { REGION } from "../../unit/api/fixtures.ts";

const LIFETIME_SECONDS = 300;
const ALGORITHM = "AWS4-HMAC-SHA256";

/** The request with its signature in the query, good for five minutes from `date`. */
export function presign(port: number, raw: RawRequest, date: Date): RawRequest {
  const time = date.toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/${REGION}/lambda/aws4_request`;
  const [path = "", query = ""] = raw.path.split("?");
  const parameters = [
    ...(query === "" ? [] : [query]),
    `X-Amz-Algorithm=${ALGORITHM}`,
    `X-Amz-Credential=${encodeURIComponent(`${KEY.accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${time}`,
    `X-Amz-Expires=${LIFETIME_SECONDS}`,
    "X-Amz-SignedHeaders=host",
  ].sort();
  const host = `127.0.0.1:${port}`;
  const segments = path.split("/").map(encodeURIComponent).join("/");
  const body = sha256(raw.body ?? "");
  const canonical = [raw.method, segments, parameters.join("&"), `host:${host}`, "", "host", body];
  const toSign = [ALGORITHM, time, scope, sha256(canonical.join("\n"))].join("\n");
  const key = [...scope.split("/")].reduce<string | Buffer>(hmac, `AWS4${KEY.secretAccessKey}`);
  const signature = hmac(key, toSign).toString("hex");
  return {
    ...raw,
    path: `${path}?${parameters.join("&")}&X-Amz-Signature=${signature}`,
    headers: { host, ...raw.headers },
  };
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac("sha256", key).update(data).digest();
}
