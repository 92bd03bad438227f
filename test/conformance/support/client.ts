// What the runner needs of a client: one call, and everything that came back of it.

import type { Json } from "./match.ts";
import type { OperationName } from "./operations.ts";

export interface ClientCall {
  readonly endpoint: string;
  readonly operation: OperationName;
  readonly input: Readonly<Record<string, Json>>;
  readonly region: string;
  readonly key: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface Observed {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body's bytes as text. */
  readonly body: string;
  /** What the client made of a success, times as epoch seconds; undefined where there is no client between. */
  readonly output?: unknown;
  /** What the client threw. */
  readonly error?: { readonly name: string; readonly message: string };
}

export interface ConformanceClient extends AsyncDisposable {
  call(request: ClientCall): Promise<Observed>;
}
