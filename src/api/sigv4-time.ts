// When a signature is valid: around now for a signed header, as long as it says for a presigned query.

import { formatTimestamp, type GivenSignature } from "./sigv4-credentials.ts";
import { signatureError } from "./sigv4-errors.ts";

/** How far clocks may differ: Lambda is stricter than the rest of AWS. */
const LAMBDA_SKEW_MINUTES = 5;
const SKEW_MINUTES = 15;

function skewMinutes(service: string): number {
  return service === "lambda" ? LAMBDA_SKEW_MINUTES : SKEW_MINUTES;
}

/** Throws ACCESS_DENIED for a signature of another time, or whose scope names another day than its date. */
export function checkTime(given: GivenSignature, now: number): void {
  const { service, timestamp } = given;
  const signedAt = parseTimestamp(timestamp);
  if (Number.isNaN(signedAt))
    throw signatureError("malformed", service, `'${timestamp}' is not a date and time`);
  if (timestamp.slice(0, 8) !== given.date)
    throw signatureError(
      "scope-mismatch",
      service,
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${given.date}' != '${timestamp.slice(0, 8)}', from '${timestamp}'.`,
    );
  const skewMs = skewMinutes(service) * 60_000;
  if (signedAt - now > skewMs) throw notYetCurrent(given, now);
  const lifetimeMs = given.expiresSeconds === undefined ? skewMs : given.expiresSeconds * 1000;
  if (now - signedAt > lifetimeMs) throw tooOld(given, now, lifetimeMs);
}

function notYetCurrent({ form, service, timestamp }: GivenSignature, now: number) {
  if (service === "s3")
    return form === "query"
      ? signatureError("expired", service, "Request is not valid yet")
      : skewed(service);
  const minutes = skewMinutes(service);
  return signatureError(
    "skewed",
    service,
    `Signature not yet current: ${timestamp} is still later than ${formatTimestamp(now + minutes * 60_000)} (${formatTimestamp(now)} + ${minutes} min.)`,
  );
}

function tooOld({ form, service, timestamp }: GivenSignature, now: number, lifetimeMs: number) {
  if (service === "s3")
    return form === "query"
      ? signatureError("expired", service, "Request has expired")
      : skewed(service);
  return signatureError(
    "expired",
    service,
    `Signature expired: ${timestamp} is now earlier than ${formatTimestamp(now - lifetimeMs)} (${formatTimestamp(now)} - ${Math.ceil(lifetimeMs / 60_000)} min.)`,
  );
}

function skewed(service: string) {
  return signatureError(
    "skewed",
    service,
    "The difference between the request time and the current time is too large.",
  );
}

/** Of `YYYYMMDDTHHMMSSZ`; NaN for a moment that no calendar has. */
function parseTimestamp(timestamp: string): number {
  const part = (from: number, to: number) => timestamp.slice(from, to);
  const date = `${part(0, 4)}-${part(4, 6)}-${part(6, 8)}`;
  return Date.parse(`${date}T${part(9, 11)}:${part(11, 13)}:${part(13, 16)}`);
}
