// Client tokens: what makes two requests the same one.

import { createHash } from "node:crypto";
import type { TokenUse } from "./store.ts";

/** How the request of `operation` uses its client token; null when it carries none. */
export function tokenUseOf(
  operation: TokenUse["operation"],
  input: { readonly clientToken?: string },
): TokenUse | null {
  const { clientToken, ...parameters } = input;
  if (clientToken === undefined) return null;
  const parametersHash = createHash("sha256").update(canonicalJson(parameters)).digest("hex");
  return { operation, token: clientToken, parametersHash };
}

/** JSON with sorted keys and without undefined members, so that equal parameters have equal text. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
