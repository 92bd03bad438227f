// One rest-json operation: path, query and body become the input of a route, its result the response.

import { ServiceError } from "../errors.ts";
import { traceparentIn } from "../lib/trace.ts";
import type { Scope } from "../microvms/records.ts";
import { type Reply, wireErrorOf } from "./errors.ts";
import { checkMicrovmLabel, gatewayError, isServedPath } from "./gateway.ts";
import { jsonOf } from "./json-text.ts";
import type { Router } from "./router.ts";
import type { OperationFact, Route, RouteDeps } from "./routes/route.ts";
import { serializationError } from "./validation.ts";

export interface OperationRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  /** Names and values in turn, as received. */
  readonly headers: readonly string[];
  readonly requestId: string;
  readonly body: Buffer;
}

interface FoundOperation {
  readonly route: Route;
  readonly labels: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

/** Finds the operation and runs it for `scope`. */
export async function answerOperation(
  deps: RouteDeps & { readonly findRoute: Router },
  scope: Scope,
  request: OperationRequest,
): Promise<Reply> {
  const { path, query } = splitUrl(request.url);
  const { route, labels } = requireRoute(deps.findRoute, request.method, path);
  const found = { route, labels, query };
  const { trace, observe } = deps;
  if (trace === undefined) return run(deps, scope, request, found);
  const { requestId, headers } = request;
  return trace(
    route.operation,
    (span) => {
      const observed = (fact: OperationFact) => {
        observe?.(fact);
        span.set({ "http.response.status_code": fact.status });
      };
      return run({ ...deps, observe: observed }, scope, request, found);
    },
    {
      kind: "server",
      traceparent: traceparentIn(headers),
      attributes: { "rpc.method": route.operation, "torpor.request.id": requestId },
    },
  );
}

async function run(
  deps: RouteDeps,
  scope: Scope,
  request: OperationRequest,
  { route, labels, query }: FoundOperation,
): Promise<Reply> {
  const startedAt = performance.now();
  const { operation, answer } = route;
  const tell = (status: number) =>
    deps.observe?.({ operation, status, durationMs: performance.now() - startedAt });
  let output: object;
  try {
    checkMicrovmLabel(labels);
    // As the service does it: a request counts before anybody looks into it.
    deps.rates?.admit(scope, operation);
    const raw = { ...bodyMembers(route, request.body), ...queryMembers(route, query), ...labels };
    output = await answer(deps, scope, raw);
  } catch (error) {
    tell(wireErrorOf(error).status);
    throw error;
  }
  tell(route.status);
  if (route.status === 204) return { status: 204, headers: {}, body: "" };
  return {
    status: route.status,
    headers: { "content-type": "application/json" },
    body: jsonOf(output),
  };
}

/** Path and query of a request target. */
export function splitUrl(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf("?");
  if (mark === -1) return { path: url, query: new URLSearchParams() };
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}

function requireRoute(findRoute: Router, method: string, path: string) {
  const match = findRoute(method, path);
  if (match === undefined) {
    if (isServedPath(path)) throw gatewayError(404);
    throw edgeError("UnknownOperationException", "No operation has this path");
  }
  if ("route" in match) return match;
  throw edgeError("MethodNotAllowedException", `This path has no ${method} operation`, {
    allowedMethods: match.allowedMethods,
  });
}

function queryMembers(
  { query: names, queryLists }: Route,
  query: URLSearchParams,
): Record<string, string | string[]> {
  const members: Record<string, string | string[]> = {};
  for (const name of names) {
    const value = query.get(name);
    if (value !== null) members[name] = value;
  }
  for (const name of queryLists) {
    const values = query.getAll(name);
    if (values.length > 0) members[name] = values;
  }
  return members;
}

/** Members of the JSON body; an empty body has none, and reads and deletions take none. */
function bodyMembers(route: Route, body: Buffer): object {
  if (body.length === 0 || route.method === "GET" || route.method === "DELETE") return {};
  const parsed = parseJson(body);
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw serializationError(null);
  return parsed;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    // Invalid UTF-8 is a TypeError of the decoder, invalid JSON a SyntaxError. Neither is kept as the cause: a
    // SyntaxError quotes the body, which may hold secrets.
    if (error instanceof SyntaxError || error instanceof TypeError) throw serializationError(null);
    throw error;
  }
}

function edgeError(
  exception: string,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
): ServiceError {
  return new ServiceError("VALIDATION_FAILED", message, { details: { ...details, exception } });
}
