// Turns the issues of a schema into the service's answer: every violated constraint in one
// ValidationException, or, when a value has the wrong JSON type, a SerializationException about the first.

import type { z } from "zod";
import { ServiceError } from "../errors.ts";
import { SENSITIVE_MEMBERS } from "./schemas.ts";
import { WRONG_TYPE } from "./shapes.ts";

/** Values longer than this are left out of messages, in characters. */
const ECHO_LIMIT = 1024;

/**
 * The input that `schema` makes of `raw`. Throws VALIDATION_FAILED with the service's wording; `details.exception`
 * is SerializationException when a value has the wrong JSON type.
 */
export function parseInput<T>(schema: z.ZodType<T>, raw: unknown): T {
  const result = schema.safeParse(raw, { reportInput: true });
  if (result.success) return result.data;
  const { issues } = result.error;
  for (const issue of issues) {
    const mismatch = describeMismatch(issue);
    if (mismatch !== undefined) throw serializationError(mismatch);
  }
  const count = `${issues.length} validation error${issues.length === 1 ? "" : "s"} detected`;
  const message = `${count}: ${issues.map(describeViolation).join("; ")}`;
  throw new ServiceError("VALIDATION_FAILED", message);
}

/** The error for a request that cannot be read; null stands for the service's own empty message. */
export function serializationError(message: string | null): ServiceError {
  return new ServiceError("VALIDATION_FAILED", message ?? "Cannot parse request", {
    details: { exception: "SerializationException", wireMessage: message },
  });
}

function describeViolation(issue: z.core.$ZodIssue): string {
  const path = memberPath(issue.path);
  if (isMissing(issue))
    return `Value null at '${path}' failed to satisfy constraint: Member must not be null`;
  const echo = issue.path.some((part) => SENSITIVE_MEMBERS.has(String(part)))
    ? undefined
    : echoOf(issue.input);
  const value = echo === undefined ? "Value" : `Value '${echo}'`;
  return `${value} at '${path}' failed to satisfy constraint: ${issue.message}`;
}

function isMissing(issue: z.core.$ZodIssue): boolean {
  return (
    (issue.code === "invalid_type" || issue.code === "invalid_value") &&
    (issue.input === undefined || issue.input === null)
  );
}

/**
 * List positions count from one and are followed by `member`, as in `allowedPorts.1.member.port`. Names begin with a small
 * letter here even where they have a capital on the wire.
 */
function memberPath(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `${part + 1}.member` : uncapitalized(String(part))))
    .join(".");
}

function uncapitalized(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1);
}

/** The value as the service prints it, or undefined where it leaves it out. */
function echoOf(value: unknown): string | undefined {
  const printed = print(value);
  return printed === undefined || printed.length > ECHO_LIMIT ? undefined : printed;
}

function print(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "object" || value === null) return undefined;
  const parts = Array.isArray(value)
    ? value.map((item) => print(item))
    : Object.entries(value).map(([key, item]) => joinEntry(key, print(item)));
  if (parts.includes(undefined)) return undefined;
  return Array.isArray(value) ? `[${parts.join(", ")}]` : `{${parts.join(", ")}}`;
}

function joinEntry(key: string, printed: string | undefined): string | undefined {
  return printed === undefined ? undefined : `${key}=${printed}`;
}

/** What the deserialiser says of a wrong JSON type; undefined when the issue is a violated constraint. */
function describeMismatch(issue: z.core.$ZodIssue): string | undefined {
  const expected = expectedType(issue);
  if (expected === undefined || isMissing(issue)) return undefined;
  const found = issue.input;
  if (Array.isArray(found)) return "Start of list found where not expected";
  if (expected === "structure") return "Expected null";
  if (typeof found === "object")
    return expected === "list"
      ? "Expected list or null"
      : "Start of structure or map found where not expected.";
  if (expected === "list") return "Expected list or null";
  return `${tokenOf(found)} can not be converted to ${expected}`;
}

function expectedType(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code === "custom") {
    const type: unknown = issue.params?.[WRONG_TYPE];
    return typeof type === "string" ? type : undefined;
  }
  if (issue.code === "invalid_value") return typeof issue.input === "string" ? undefined : "String";
  if (issue.code !== "invalid_type") return undefined;
  switch (issue.expected) {
    case "object":
    case "record":
      return "structure";
    case "array":
      return "list";
    case "number":
      return "Integer";
    case "boolean":
      return "Boolean";
    default:
      return "String";
  }
}

function tokenOf(found: unknown): string {
  if (typeof found === "boolean") return found ? "TRUE_VALUE" : "FALSE_VALUE";
  if (typeof found === "number") return Number.isInteger(found) ? "NUMBER_VALUE" : "DECIMAL_VALUE";
  return "STRING_VALUE";
}
