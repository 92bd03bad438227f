// Reads the two forms in which a signature comes: the Authorization header and the presigned query. Checks their form
// only; sizes are bounded before anything is taken apart.

import {
  ALGORITHM,
  type AuthorizationFields,
  MAX_AUTHORIZATION_LENGTH,
  readAuthorization,
  type ReadAuthorization,
  readScope,
  readSignedHeaders,
  scopeService,
  unsupported,
} from "./sigv4-authorization.ts";
import {
  canonicalHeaderValue,
  headerValues,
  isRawList,
  parseQuery,
  splitTarget,
  type HeaderValues,
  type QueryParameter,
  type ReceivedHeaders,
} from "./sigv4-canonical.ts";
import { signatureError } from "./sigv4-errors.ts";

const MAX_QUERY_LENGTH = 8192;
/** Seven days, S3's limit. */
const MAX_EXPIRES_SECONDS = 604_800;
const DEFAULT_EXPIRES_SECONDS = 900;

/** A signature as the client gave it, not checked yet. */
export interface GivenSignature extends AuthorizationFields {
  readonly form: "header" | "query";
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly timestamp: string;
  /** Of the query form, else undefined. */
  readonly expiresSeconds: number | undefined;
  readonly hasSessionToken: boolean;
}

/** A request taken apart once for parsing and canonicalisation. */
export interface ReceivedParts {
  readonly path: string;
  readonly query: readonly QueryParameter[];
  readonly headers: HeaderValues;
}

/** Takes a request target and headers apart. Throws ACCESS_DENIED for a query that cannot be read. */
export function receivedParts(url: string, headers: ReceivedHeaders): ReceivedParts {
  const target = splitTarget(url);
  const query = target.query.length > MAX_QUERY_LENGTH ? undefined : parseQuery(target.query);
  if (query === undefined)
    throw signatureError("malformed-query", "", "The query string cannot be read");
  return { path: target.path, query, headers: headerValues(headers) };
}

/** The service that a signature names, read leniently: malformed signatures of a known service still reach it. */
export function namedService(url: string, headers: ReceivedHeaders): string | undefined {
  const authorization = firstNamed(headers, "authorization");
  if (authorization !== undefined) {
    // Version 2 signatures exist for S3 alone.
    if (authorization.startsWith("AWS ")) return "s3";
    const found = /Credential=([^,\s]{1,512})/.exec(
      authorization.slice(0, MAX_AUTHORIZATION_LENGTH),
    );
    return scopeService(found?.[1]);
  }
  const { query } = splitTarget(url);
  if (query.length > MAX_QUERY_LENGTH) return undefined;
  const parameters = parseQuery(query) ?? [];
  if (isVersion2Query(parameters)) return "s3";
  return scopeService(queryValue(parameters, "X-Amz-Credential"));
}

/** Reads the signature of a request. Throws ACCESS_DENIED saying what is missing or malformed. */
export function readSignature(
  parts: ReceivedParts,
  read: ReadAuthorization = readAuthorization,
): GivenSignature {
  const authorization = firstHeader(parts.headers, "authorization");
  const inQuery = parts.query.some(({ name }) => name === "X-Amz-Algorithm");
  if (authorization !== undefined && (inQuery || parts.headers.get("authorization")?.length !== 1))
    throw signatureError(
      "two-signatures",
      scopeService(/Credential=([^,\s]+)/.exec(authorization)?.[1]) ?? "",
      "Only one auth mechanism allowed: either the X-Amz-Algorithm query parameter or one Authorization header",
    );
  if (authorization !== undefined) return readHeaderForm(parts, authorization, read);
  if (inQuery) return readQueryForm(parts);
  if (isVersion2Query(parts.query)) throw unsupported("s3");
  throw signatureError("missing", "", "Missing Authentication Token");
}

function readHeaderForm(
  parts: ReceivedParts,
  authorization: string,
  read: ReadAuthorization,
): GivenSignature {
  const fields = read(authorization);
  const timestamp = headerTimestamp(parts.headers);
  if (timestamp === undefined)
    throw signatureError(
      "malformed",
      fields.service,
      "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
    );
  return {
    ...fields,
    form: "header",
    timestamp,
    expiresSeconds: undefined,
    hasSessionToken: parts.headers.has("x-amz-security-token"),
  };
}

function readQueryForm({ query, headers }: ReceivedParts): GivenSignature {
  const service = scopeService(queryValue(query, "X-Amz-Credential")) ?? "";
  const parameter = (name: string) => {
    const value = queryValue(query, name);
    if (value) return value;
    throw signatureError(
      "malformed-query",
      service,
      `Query-string authentication requires exactly one value of '${name}'.`,
    );
  };
  if (parameter("X-Amz-Algorithm") !== ALGORITHM) throw unsupported(service);
  const scope = readScope(parameter("X-Amz-Credential"), "malformed-query");
  const timestamp = parameter("X-Amz-Date");
  if (!TIMESTAMP.test(timestamp))
    throw signatureError(
      "malformed-query",
      service,
      `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`,
    );
  return {
    ...scope,
    form: "query",
    signedHeaders: readSignedHeaders(parameter("X-Amz-SignedHeaders"), service, "malformed-query"),
    signature: parameter("X-Amz-Signature"),
    timestamp,
    expiresSeconds: readExpires(query, service),
    hasSessionToken:
      headers.has("x-amz-security-token") ||
      query.some(({ name }) => name === "X-Amz-Security-Token"),
  };
}

/** The only value of a query parameter; undefined when there is none or there are several. */
export function queryValue(
  query: readonly QueryParameter[],
  ...names: readonly string[]
): string | undefined {
  const found = query.filter((parameter) => names.includes(parameter.name));
  return found.length === 1 ? found[0]?.value : undefined;
}

function readExpires(query: readonly QueryParameter[], service: string): number {
  const text = queryValue(query, "X-Amz-Expires");
  if (text === undefined && service !== "s3") return DEFAULT_EXPIRES_SECONDS;
  const seconds = /^\d{1,7}$/.test(text ?? "") ? Number(text) : 0;
  if (seconds < 1 || seconds > MAX_EXPIRES_SECONDS)
    throw signatureError(
      "malformed-query",
      service,
      `X-Amz-Expires must be a number of seconds from 1 to ${MAX_EXPIRES_SECONDS}`,
    );
  return seconds;
}

const TIMESTAMP = /^\d{8}T\d{6}Z$/;

/** `X-Amz-Date`, else `Date` in either of its forms. */
function headerTimestamp(headers: HeaderValues): string | undefined {
  const amzDate = firstHeader(headers, "x-amz-date");
  if (amzDate !== undefined) return TIMESTAMP.test(amzDate) ? amzDate : undefined;
  const date = firstHeader(headers, "date");
  if (date === undefined || TIMESTAMP.test(date)) return date;
  const time = Date.parse(date);
  if (Number.isNaN(time)) return undefined;
  return formatTimestamp(time);
}

/** `YYYYMMDDTHHMMSSZ` of epoch milliseconds. */
export function formatTimestamp(time: number): string {
  return new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
}

function isVersion2Query(query: readonly QueryParameter[]): boolean {
  return (
    query.some(({ name }) => name === "AWSAccessKeyId") &&
    query.some(({ name }) => name === "Signature")
  );
}

/** The first header of that name, found without taking the others apart. */
function firstNamed(headers: ReceivedHeaders, wanted: string): string | undefined {
  if (!isRawList(headers)) return firstHeader(headerValues(headers), wanted);
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? "";
    if (name.length === wanted.length && name.toLowerCase() === wanted)
      return canonicalHeaderValue([headers[at + 1] ?? ""]);
  }
  return undefined;
}

function firstHeader(headers: HeaderValues, name: string): string | undefined {
  const values = headers.get(name);
  return values?.[0] === undefined ? undefined : canonicalHeaderValue([values[0]]);
}
