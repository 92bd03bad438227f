// Brings spans to a collector, in batches and never at the cost of the work that they tell of: what does not fit into
// the queue, or is not taken after some attempts, is counted and forgotten.
//
// INVARIANTS
// - At most one batch is on its way; only while the exporter closes is there no further attempt.
// - The queue holds at most `QUEUE_LIMIT` spans.

import { messageOf } from "../errors.ts";
import { type Clock, pause } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { EndedSpan } from "./tracer.ts";

export interface ExporterDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** The body of a request with these spans. */
  readonly encode: (spans: readonly EndedSpan[]) => string;
  /** Told what became of spans. */
  readonly observe: (outcome: "sent" | "dropped", count: number) => void;
}

export interface ExporterOptions {
  /** Base URL of the collector's OTLP over HTTP. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestTimeoutMs?: number;
  /** What is left of the queue gets to go out when the exporter is disposed. */
  readonly closeTimeoutMs?: number;
}

/** Some MB of memory, and a second of a busy ingress. */
export const QUEUE_LIMIT = 8192;
export const BATCH_LIMIT = 512;
/** How long a batch may wait to become full. */
export const BATCH_DELAY_MS = 2000;
export const MAX_ATTEMPTS = 5;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2000;
const ANSWER_LIMIT_BYTES = 64 * 1024;
/** Answers after which a collector may take the same batch (OTLP specification, "Retryable Response Codes"). */
const RETRYABLE = new Set([429, 502, 503, 504]);

type Verdict =
  | { readonly is: "taken"; readonly rejected: number }
  | { readonly is: "refused"; readonly reason: string }
  | { readonly is: "later"; readonly reason: string; readonly afterMs: number | undefined };

/** Sends spans in the background. Disposing it sends what it has, within `closeTimeoutMs`. */
export class SpanExporter implements AsyncDisposable {
  readonly #deps: ExporterDeps;
  readonly #options: Required<ExporterOptions>;
  readonly #url: string;
  readonly #closing = new AbortController();
  readonly #closed = new AbortController();
  #queue: EndedSpan[] = [];
  #timer: Disposable | undefined;
  #sending: Promise<void> | undefined;
  #isTroubled = false;

  constructor(deps: ExporterDeps, options: ExporterOptions) {
    this.#deps = deps;
    this.#options = {
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      ...options,
    };
    this.#url = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
  }

  /** Takes a span to be sent. Cheap, and never waits. */
  add(span: EndedSpan): void {
    if (this.#queue.length >= QUEUE_LIMIT || this.#closed.signal.aborted) {
      this.#deps.observe("dropped", 1);
      return;
    }
    this.#queue.push(span);
    this.#schedule();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#timer?.[Symbol.dispose]();
    using _limit = this.#deps.clock.setTimer(this.#options.closeTimeoutMs, () =>
      this.#closed.abort(),
    );
    await this.#sending;
    while (this.#queue.length > 0) await this.#sendBatch();
    this.#closed.abort();
  }

  #schedule(): void {
    if (this.#sending !== undefined || this.#closing.signal.aborted) return;
    if (this.#queue.length >= BATCH_LIMIT) return this.#start();
    this.#timer ??= this.#deps.clock.setTimer(BATCH_DELAY_MS, () => this.#start());
  }

  #start(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#sending = this.#sendBatch().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length > 0) this.#schedule();
    });
  }

  /** Sends the oldest spans, or gives them up. Does not reject. */
  async #sendBatch(): Promise<void> {
    const spans = this.#queue.splice(0, BATCH_LIMIT);
    const body = this.#deps.encode(spans);
    for (let attempt = 1; ; attempt += 1) {
      const verdict = await this.#post(body);
      if (verdict.is === "taken") return this.#onTaken(spans.length, verdict.rejected);
      const isLast = verdict.is === "refused" || attempt >= MAX_ATTEMPTS;
      if (isLast || this.#closing.signal.aborted) return this.#onLost(spans.length, verdict.reason);
      const delayMs = verdict.afterMs ?? FIRST_RETRY_MS * 2 ** (attempt - 1);
      await pause(this.#deps.clock, Math.min(delayMs, LONGEST_RETRY_MS), this.#closing.signal);
    }
  }

  #onTaken(count: number, rejected: number): void {
    const { log, observe } = this.#deps;
    observe("sent", count - rejected);
    if (rejected > 0) this.#onLost(rejected, "The collector rejected a part");
    else if (this.#isTroubled) {
      this.#isTroubled = false;
      log.info("Traces are taken again", { endpoint: this.#options.endpoint });
    }
  }

  /** Said once, not for every batch, until a batch is taken. */
  #onLost(count: number, reason: string): void {
    const { log, observe } = this.#deps;
    observe("dropped", count);
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    log.warn("Cannot send traces", { endpoint: this.#options.endpoint, reason });
  }

  async #post(body: string): Promise<Verdict> {
    const { headers, requestTimeoutMs } = this.#options;
    const signal = AbortSignal.any([AbortSignal.timeout(requestTimeoutMs), this.#closed.signal]);
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#url, {
        ...{ method: "POST", body, signal, redirect: "manual" },
        headers: { ...headers, "content-type": "application/json" },
      });
      text = await readStart(response);
    } catch (error) {
      // Whatever `fetch` rejects with means the same: no connection, one that broke, or no answer in time.
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      return { is: "later", reason: messageOf(cause), afterMs: undefined };
    }
    return verdictOf(response, text);
  }
}

function verdictOf({ status, ok, headers }: Response, text: string): Verdict {
  if (ok) return { is: "taken", rejected: rejectedSpans(text) };
  const reason = `HTTP status ${status}`;
  if (!RETRYABLE.has(status)) return { is: "refused", reason };
  const seconds = /^\d{1,6}$/.exec(headers.get("retry-after") ?? "")?.[0];
  return { is: "later", reason, afterMs: seconds === undefined ? undefined : +seconds * 1000 };
}

/** How many spans a collector says it could not take although it took the request. */
function rejectedSpans(text: string): number {
  const count = /"rejectedSpans"\s*:\s*"?(\d{1,9})"?/.exec(text)?.[1];
  return count === undefined ? 0 : Number(count);
}

/** The beginning of the answer; the rest is not waited for. */
async function readStart({ body }: Response): Promise<string> {
  if (body === null) return "";
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= ANSWER_LIMIT_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}
