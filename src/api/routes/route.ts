// What a route is: an operation of the service, where it answers, what it takes and what it does.

import type { KeyObject } from "node:crypto";
import type { z } from "zod";
import type { ConnectorOperations } from "../../connectors/operations.ts";
import type { ImageOperations } from "../../images/operations.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Traced } from "../../lib/trace.ts";
import type { MicrovmOperations } from "../../microvms/operations.ts";
import type { MicrovmRecord, Scope } from "../../microvms/records.ts";
import type { Tokens } from "../../tokens/tokens.ts";
import type { JsonText } from "../json-text.ts";
import type { RateLimiter } from "../rate-limit.ts";
import { parseInput } from "../validation.ts";
import type { IngressAuthority } from "../wire.ts";

export interface RouteDeps extends Traced {
  readonly microvms: MicrovmOperations;
  readonly images: ImageOperations;
  readonly connectors: ConnectorOperations;
  readonly tokens: Pick<Tokens, "mint">;
  /** Absent where request rates are not enforced. */
  readonly rates?: RateLimiter;
  /** Seals page cursors; the same after a restart, or clients must start their lists again. */
  readonly cursorKey: KeyObject;
  readonly ingressAuthority: IngressAuthority;
  /** What GetMicrovm answers of a record. */
  readonly microvmText: (record: MicrovmRecord) => JsonText;
  readonly clock: Pick<Clock, "now">;
  /** Told of every operation that was asked for, with its status. */
  readonly observe?: (fact: OperationFact) => void;
}

export interface OperationFact {
  readonly operation: string;
  readonly status: number;
  readonly durationMs: number;
}

export interface Route {
  readonly operation: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path pattern whose `{name}` segments are members of the input. */
  readonly path: string;
  /** Query parameters that are members of the input. */
  readonly query: readonly string[];
  /** Query parameters that may be given several times; as members of the input they are lists. */
  readonly queryLists: readonly string[];
  /** Status of a success; 204 has no body. */
  readonly status: number;
  readonly answer: (
    deps: RouteDeps,
    scope: Scope,
    raw: Readonly<Record<string, unknown>>,
  ) => Promise<object>;
}

interface RouteDefinition<T> extends Pick<Route, "operation" | "method" | "path"> {
  readonly query?: readonly string[];
  readonly queryLists?: readonly string[];
  readonly status?: number;
  readonly input: z.ZodType<T>;
  readonly handle: (deps: RouteDeps, scope: Scope, input: T) => Promise<object>;
}

/** A route that checks its input against the schema before it calls its handler. */
export function route<T>(definition: RouteDefinition<T>): Route {
  const { input, handle, query = [], queryLists = [], status = 200, ...place } = definition;
  return {
    ...place,
    query,
    queryLists,
    status,
    answer: (deps, scope, raw) => handle(deps, scope, parseInput(input, raw)),
  };
}
