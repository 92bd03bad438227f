// A collector of OpenTelemetry's on loopback that keeps what it is sent.

import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status?: { readonly code: number };
  readonly attributes: readonly {
    readonly key: string;
    readonly value: Readonly<Record<string, unknown>>;
  }[];
}

interface TraceRequest {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[];
  }[];
}

export interface CollectorAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Collector extends AsyncDisposable {
  readonly endpoint: string;
  /** Every request, whatever it was answered. */
  readonly requests: readonly {
    readonly url: string | undefined;
    readonly headers: IncomingHttpHeaders;
    readonly spans: readonly CollectedSpan[];
  }[];
  /** Answers of the next requests, in order; 200 after the last. Null leaves a request unanswered. */
  readonly answers: (CollectorAnswer | null)[];
  spans(): CollectedSpan[];
}

export async function startCollector(): Promise<Collector> {
  const requests: Collector["requests"][number][] = [];
  const answers: Collector["answers"] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      const { resourceSpans } = body as TraceRequest;
      const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((s) => s.spans));
      requests.push({ url: request.url, headers: request.headers, spans });
      const answer = answers.shift();
      if (answer === null) return;
      const { status, headers = {}, body: text = "{}" } = answer ?? { status: 200 };
      response.writeHead(status, headers).end(text);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    answers,
    spans: () => requests.flatMap(({ spans }) => spans),
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The value of an attribute, whatever its type; undefined when the span has none of this name. */
export function attribute({ attributes }: CollectedSpan, key: string): unknown {
  const value = attributes.find((each) => each.key === key)?.value;
  return value === undefined ? undefined : Object.values(value)[0];
}

/** Names of the spans of which this one is a part, itself first. */
export function ancestry(spans: readonly CollectedSpan[], span: CollectedSpan): string[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return [span.name, ...(parent === undefined ? [] : ancestry(spans, parent))];
}
