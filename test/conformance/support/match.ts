// Compares JSON with what is expected of it: exactly, but for the members whose values only the service can know.

import assert from "node:assert/strict";

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [member: string]: Json };

/** JSON in which a matcher may stand for a value. Objects have exactly the members named. */
export type Expected =
  | null
  | boolean
  | number
  | string
  | Matcher
  | readonly Expected[]
  | { readonly [member: string]: Expected };

const MATCHER = Symbol("matcher");

/** Stands for a value that only the service can know. */
export interface Matcher {
  readonly [MATCHER]: true;
  readonly what: string;
  readonly accepts: (value: unknown) => boolean;
}

/** A matcher that is called `what` where it does not accept. */
export function matcher(what: string, accepts: Matcher["accepts"]): Matcher {
  return { [MATCHER]: true, what, accepts };
}

function isMatcher(value: unknown): value is Matcher {
  return typeof value === "object" && value !== null && MATCHER in value;
}

const LAUNCH = Date.UTC(2026, 5, 22) / 1000;

/** A JSON number of seconds since the epoch, with milliseconds at most. */
export const epoch = matcher(
  "epoch seconds",
  (value) =>
    typeof value === "number" && value >= LAUNCH && /^\d{10}(\.\d{1,3})?$/.test(`${value}`),
);
/** UTC in ISO 8601, as text. */
export const iso = matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]00:?00)$/);
export const uuid = matching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
export const anything = matcher("anything", () => true);
export const someText = matching(/./);

/** Text that the expression finds something in. */
export function matching(expression: RegExp): Matcher {
  return matcher(
    String(expression),
    (value) => typeof value === "string" && expression.test(value),
  );
}

/** Text that begins so. */
export function beginning(start: string): Matcher {
  return matcher(`${start}…`, (value) => typeof value === "string" && value.startsWith(start));
}

/** Any of several values. */
export function oneOf(...values: readonly Json[]): Matcher {
  return matcher(JSON.stringify(values), (value) => values.includes(value as Json));
}

/** Fails with both sides unless `actual` is what is expected. */
export function assertMatches(actual: unknown, expected: Expected, what: string): void {
  assert.deepEqual(actual, filledIn(actual, expected), what);
}

/** The expectation with what matched put in place of matchers, and the text of those that did not. */
function filledIn(actual: unknown, expected: Expected): unknown {
  if (isMatcher(expected)) return expected.accepts(actual) ? actual : `(${expected.what})`;
  if (Array.isArray(expected)) {
    const items: readonly unknown[] = Array.isArray(actual) ? actual : [];
    return expected.map((item: Expected, index) => filledIn(items[index], item));
  }
  if (typeof expected !== "object" || expected === null) return expected;
  return Object.fromEntries(
    Object.entries(expected).map(([name, value]) => [
      name,
      filledIn(memberOf(actual, name), value),
    ]),
  );
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** The member at a dotted path; list positions count from zero. */
export function memberAt(value: unknown, path: string): unknown {
  return path.split(".").reduce(memberOf, value);
}

/** The value with every `<name>` replaced by what `kept` has for it: within a text as text, alone as it is. */
export function substitute<T>(value: T, kept: ReadonlyMap<string, Json>): T;
export function substitute(value: unknown, kept: ReadonlyMap<string, Json>): unknown {
  if (typeof value === "string") {
    const [, alone] = /^<(\w+)>$/.exec(value) ?? [];
    if (alone !== undefined) return kept.has(alone) ? kept.get(alone) : value;
    return value.replace(/<(\w+)>/g, (text, name: string) => textOf(kept.get(name)) ?? text);
  }
  if (isMatcher(value) || value instanceof RegExp || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => substitute(item, kept));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, substitute(item, kept)]),
  );
}

function textOf(value: Json | undefined): string | undefined {
  return typeof value === "string" || typeof value === "number" ? `${value}` : undefined;
}
