// Signs requests with the AWS SDK's own signer, for checking ours against it.

import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";

export const KEY = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
export const ACCOUNT = "123456789012";
export const NOW = Date.UTC(2026, 9, 1, 12, 0, 0);

export const deps = {
  findKey: (id: string) =>
    id === KEY.accessKeyId ? { secretAccessKey: KEY.secretAccessKey, account: ACCOUNT } : undefined,
  now: () => NOW,
};

type Digestible = string | ArrayBuffer | ArrayBufferView;

/** SHA-256 and its HMAC in the form that the SDK wants them. */
export class Sha256 {
  readonly #hash;

  constructor(secret?: Digestible) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", toBuffer(secret));
  }

  update(data: Digestible): void {
    this.#hash.update(toBuffer(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new TypeError("a digest is used once");
  }
}

function toBuffer(data: Digestible): Buffer {
  if (typeof data === "string") return Buffer.from(data);
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.from(data);
}

export interface Unsigned {
  readonly method?: string;
  readonly path?: string;
  readonly query?: Record<string, string | string[]>;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface SignerOptions {
  readonly service?: string;
  readonly signedAt?: number;
  readonly credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  readonly applyChecksum?: boolean;
}

function signer({ service = "lambda", credentials = KEY, applyChecksum = true }: SignerOptions) {
  return new SignatureV4({
    ...{ credentials, region: "eu-west-1", service, sha256: Sha256, applyChecksum },
    uriEscapePath: service !== "s3",
  });
}

function toRequest({ method = "GET", path = "/", query = {}, headers = {}, body }: Unsigned) {
  return {
    ...{ method, path, query, body, protocol: "http:", hostname: "localhost", port: 7070 },
    headers: { host: "localhost:7070", ...headers },
  };
}

/** A request as this service would receive it, signed in its headers. */
export async function signed(unsigned: Unsigned, options: SignerOptions = {}) {
  const { method, path, query, headers } = await signer(options).sign(toRequest(unsigned), {
    signingDate: new Date(options.signedAt ?? NOW),
  });
  return { method, url: path + queryString(query), headers: lowerCase(headers) };
}

/** A request as this service would receive it, signed in its query. */
export async function presigned(
  unsigned: Unsigned,
  options: SignerOptions & { expiresIn?: number } = {},
) {
  const { method, path, query, headers } = await signer(options).presign(toRequest(unsigned), {
    signingDate: new Date(options.signedAt ?? NOW),
    expiresIn: options.expiresIn ?? 600,
  });
  return { method, url: path + queryString(query), headers: lowerCase(headers) };
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

function queryString(query: Record<string, string | string[] | null> = {}): string {
  const parts = Object.entries(query).flatMap(([name, value]) =>
    [value ?? ""].flat().map((one) => `${escape(name)}=${escape(one)}`),
  );
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

function escape(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
