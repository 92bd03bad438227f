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
  return (method, path) => {
    const segments = segmentsOf(path).map(decodeSegment);
    const found = patterns.flatMap((pattern) => {
      const labels = matchSegments(pattern.segments, segments);
      return labels === undefined ? [] : [{ route: pattern.route, labels }];
    });
    if (found.length === 0) return undefined;
    return (
      found.find(({ route }) => route.method === method) ?? {
        allowedMethods: found.map(({ route }) => route.method),
      }
    );
  };
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    if (error instanceof URIError) throw serializationError(null);
    throw error;
  }
}

function matchSegments(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const labels: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const actual = segments[index] ?? "";
    if (expected.startsWith("{")) labels[expected.slice(1, -1)] = actual;
    else if (expected !== actual) return undefined;
  }
  return labels;
}
