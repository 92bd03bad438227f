// Finds the route of a request path. Empty segments (double and trailing slashes) do not count; a segment may hold an
// ARN with its colons raw or percent-encoded.

import { serializationError } from "./validation.ts";
import type { Route } from "./routes/route.ts";

export type RouteMatch =
  | { readonly route: Route; readonly labels: Readonly<Record<string, string>> }
  /** The path exists, but not with this method. */
  | { readonly allowedMethods: readonly string[] };

export type Router = (method: string, path: string) => RouteMatch | undefined;

/** A router over `routes`. Calling it throws a serialization error for a path that cannot be decoded. */
export function createRouter(routes: readonly Route[]): Router {
  const patterns = routes.map((route) => ({ route, segments: segmentsOf(route.path) }));
  const byLength = Map.groupBy(patterns, ({ segments }) => segments.length);
  return (method, path) => {
    const segments = segmentsOf(path).map(decodeSegment);
    const allowedMethods: string[] = [];
    for (const { route, segments: pattern } of byLength.get(segments.length) ?? []) {
      if (!matches(pattern, segments)) continue;
      if (route.method === method) return { route, labels: labelsOf(pattern, segments) };
      allowedMethods.push(route.method);
    }
    return allowedMethods.length === 0 ? undefined : { allowedMethods };
  };
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

function decodeSegment(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    if (error instanceof URIError) throw serializationError(null);
    throw error;
  }
}

/** Whether a path has the fixed segments of a pattern of its length. */
function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return pattern.every((expected, index) => isLabel(expected) || expected === segments[index]);
}

function labelsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [index, name] of pattern.entries())
    if (isLabel(name)) labels[name.slice(1, -1)] = segments[index] ?? "";
  return labels;
}

function isLabel(segment: string): boolean {
  return segment.startsWith("{");
}
