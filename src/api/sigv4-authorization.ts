// The Authorization header of Signature Version 4: its fields, and the credential scope and header list in them, which
// the presigned query has as well. All but the signature itself stays the same from one request of a client to the next,
// so what was read of it is remembered.

import { makeRoom } from "../lib/bounded.ts";
import { signatureError } from "./sigv4-errors.ts";

export const ALGORITHM = "AWS4-HMAC-SHA256";

export const MAX_AUTHORIZATION_LENGTH = 4096;
const MAX_SIGNED_HEADERS = 100;
/** More clients than a busy service meets in a day; each takes less than two headers of the greatest length. */
const MAX_REMEMBERED = 256;

export interface CredentialScope {
  readonly accessKeyId: string;
  /** `YYYYMMDD`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export interface AuthorizationFields extends CredentialScope {
  /** Lower-case, sorted, each once. */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

/** Reads an Authorization header. Throws ACCESS_DENIED saying what is missing or malformed. */
export type ReadAuthorization = (authorization: string) => AuthorizationFields;

/** A reader that remembers what the last `MAX_REMEMBERED` kinds of headers said before their signature. */
export function createAuthorizationReader(): ReadAuthorization {
  const remembered = new Map<string, AuthorizationFields>();
  return (authorization) => {
    const mark = authorization.length - SIGNATURE_LENGTH;
    const signature = authorization.slice(mark);
    if (!authorization.endsWith(SIGNATURE, mark) || !DIGEST.test(signature))
      return readAuthorization(authorization);
    const before = authorization.slice(0, mark);
    const known = remembered.get(before);
    if (known !== undefined) return { ...known, signature };
    const fields = readAuthorization(authorization);
    // What looked like the signature may be the end of another field.
    if (fields.signature !== signature) return fields;
    makeRoom(remembered, MAX_REMEMBERED);
    remembered.set(before, fields);
    return fields;
  };
}

const SIGNATURE = "Signature=";
const SIGNATURE_LENGTH = 64;
const DIGEST = /^[0-9a-f]{64}$/;

/** Reads an Authorization header. Throws ACCESS_DENIED saying what is missing or malformed. */
export function readAuthorization(authorization: string): AuthorizationFields {
  const [algorithm = ""] = authorization.split(/\s/, 1);
  if (algorithm !== ALGORITHM) throw unsupported(algorithm === "AWS" ? "s3" : "");
  if (authorization.length > MAX_AUTHORIZATION_LENGTH)
    throw signatureError("malformed", "", "Authorization header is too long");
  const fields = readFields(authorization.slice(ALGORITHM.length));
  const service = scopeService(fields.get("Credential")) ?? "";
  const field = (name: string) => {
    const value = fields.get(name);
    if (value) return value;
    throw signatureError(
      "malformed",
      service,
      `Authorization header requires '${name}' parameter.`,
    );
  };
  return {
    ...readScope(field("Credential"), "malformed"),
    signedHeaders: readSignedHeaders(field("SignedHeaders"), service, "malformed"),
    signature: field("Signature"),
  };
}

/** The fields of an Authorization header, which commas part. */
function readFields(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of text.split(",")) {
    const mark = field.indexOf("=");
    const name = field.slice(0, Math.max(mark, 0)).trim();
    if (fields.has(name)) throw signatureError("malformed", "", `'${name}' was given twice`);
    if (mark > 0) fields.set(name, field.slice(mark + 1).trim());
  }
  return fields;
}

/** Of `KEYID/YYYYMMDD/REGION/SERVICE/aws4_request`. Throws ACCESS_DENIED. */
export function readScope(
  credential: string,
  refusal: "malformed" | "malformed-query",
): CredentialScope {
  const scope = splitScope(credential);
  if (scope === undefined)
    throw signatureError(
      refusal,
      scopeService(credential) ?? "",
      "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, and end in 'aws4_request'",
    );
  return scope;
}

function splitScope(credential: string): CredentialScope | undefined {
  // An access key id may hold slashes, so the scope is counted from the end.
  const found =
    /^([^\s]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request$/.exec(
      credential,
    );
  if (found === null) return undefined;
  const [, accessKeyId = "", date = "", region = "", service = ""] = found;
  return { accessKeyId, date, region, service };
}

/** The service of a credential, whatever else may be wrong with it. */
export function scopeService(credential: string | undefined): string | undefined {
  return /\/([a-z0-9-]{1,64})\/[^/]{0,64}$/.exec(credential?.slice(0, 512) ?? "")?.[1];
}

/** The names of a `a;b;c` list. Throws ACCESS_DENIED. */
export function readSignedHeaders(
  list: string,
  service: string,
  refusal: "malformed" | "malformed-query",
): string[] {
  const given = list.toLowerCase().split(";");
  // Clients give them in order and once each, as they must be for the signature to hold.
  const isInOrder = given.every((name, index) => index === 0 || (given[index - 1] ?? "") < name);
  const names = isInOrder ? given : [...new Set(given)].sort();
  if (names.length > MAX_SIGNED_HEADERS || names.includes(""))
    throw signatureError(refusal, service, "SignedHeaders cannot be read");
  return names;
}

/** The refusal of another algorithm. */
export function unsupported(service: string) {
  return signatureError(
    "unsupported",
    service,
    `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`,
  );
}
