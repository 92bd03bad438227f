// What a client showed its caller, compared with the bytes it was answered with: a member that arrived but cannot be
// seen, or is seen as something else, is an answer that this client does not understand.

import assert from "node:assert/strict";
import type { Observed } from "./client.ts";

/** Members that the service sends although its model lacks them; clients ignore them. */
const UNMODELLED = new Set([
  "id",
  "buildPhaseOverrides",
  "roleConfiguration",
  "terminationReasonCode",
  "versionStateTimeBucket",
]);

/** Fails unless the client saw the success, or the exception `type`, that `body` is. */
export function assertClientSaw(
  { output, error }: Pick<Observed, "output" | "error">,
  body: unknown,
  type: string | undefined,
): void {
  if (output === undefined && error === undefined) return;
  assert.equal(error?.name, type);
  if (type === undefined) return assert.deepEqual(visible(output), visible(body));
  const text = messageOf(body);
  if (text !== null) assert.equal(error?.message, text);
}

function messageOf(body: unknown): string | null {
  if (typeof body !== "object" || body === null) return null;
  const { message, Message } = body as { message?: unknown; Message?: unknown };
  const text = message ?? Message;
  return typeof text === "string" ? text : null;
}

/** Without what is null and what no model has, times as epoch seconds. */
function visible(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(visible);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => member !== null && member !== undefined && !UNMODELLED.has(name))
      .map(([name, member]) => [
        name,
        name === "LastModified" ? instantOf(member) : visible(member),
      ]),
  );
}

/** lambda-core has its times as text, which clients may parse. */
function instantOf(value: unknown): unknown {
  return typeof value === "string" ? Date.parse(value) / 1000 : value;
}
