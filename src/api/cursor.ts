// Page cursors: the key to continue after, sealed so that only this service's own cursors, used for the list they
// were made for, are accepted.

import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";

export interface CursorBinding {
  readonly operation: string;
  readonly scope: Scope;
  /** What the list is filtered by; a cursor is good for the same filter only. */
  readonly filter: Readonly<Record<string, string | undefined>>;
}

const MAC_BYTES = 32;

/** The `nextToken` for the key `after`; null at the end of a list. */
export function sealCursor(
  key: KeyObject,
  binding: CursorBinding,
  after: string | null,
): string | null {
  if (after === null) return null;
  return Buffer.concat([macOf(key, binding, after), Buffer.from(after)]).toString("base64url");
}

/**
 * The key sealed in `token`, which came as `member`; null for the first page. Throws VALIDATION_FAILED for anything but a
 * cursor of this list.
 */
export function openCursor(
  key: KeyObject,
  binding: CursorBinding,
  token: string | undefined,
  member = "nextToken",
): string | null {
  if (token === undefined) return null;
  const sealed = Buffer.from(token, "base64url");
  const after = sealed.subarray(MAC_BYTES).toString();
  const mac = sealed.subarray(0, MAC_BYTES);
  if (mac.length === MAC_BYTES && timingSafeEqual(mac, macOf(key, binding, after))) return after;
  // Of a `nextToken` the service says nothing but that the request is a bad one.
  const details = member === "nextToken" ? { wireMessage: null } : {};
  throw new ServiceError("VALIDATION_FAILED", `Invalid ${member}`, { details });
}

function macOf(key: KeyObject, { operation, scope, filter }: CursorBinding, after: string) {
  const conditions = Object.entries(filter)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHmac("sha256", key)
    .update(JSON.stringify([operation, scope.account, scope.region, conditions, after]))
    .digest();
}
