// Spans as a dependency: work that has a name, takes time and may have parts. Where they go to is not known here, and
// where nobody wants them the work is done as if they did not exist.

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Span {
  /** Names this span to whoever does a part of the work elsewhere (W3C Trace Context). */
  readonly traceparent: string;
  /** Adds attributes; undefined ones are left out. */
  set(attributes: Attributes): void;
  /** Leaves the span out, unless it has had parts: nothing worth telling happened in it. */
  drop(): void;
}

export interface SpanOptions {
  readonly attributes?: Attributes;
  /**
   * `part` (unless given) of the work that it is called in; `root` of a trace of its own; `server` answers a request from
   * outside, in the client's trace if that named one.
   */
  readonly kind?: "part" | "root" | "server";
  /** What the client of a `server` span sent as `traceparent`; ignored unless it is a valid one. */
  readonly traceparent?: string | undefined;
}

/** Does `work` as a span, which ends and fails with it. */
export type Trace = <T>(
  name: string,
  work: (span: Span) => Promise<T>,
  options?: SpanOptions,
) => Promise<T>;

export interface Traced {
  /** Absent where no traces are wanted. */
  readonly trace?: Trace;
}

export const TRACEPARENT = "traceparent";

/** `traceparent` among fields as received, name and value in turn. Who sends several means none. */
export function traceparentIn(fields: readonly string[]): string | undefined {
  const values = fields.filter(
    (_text, index) => index % 2 === 1 && fields[index - 1]?.toLowerCase() === TRACEPARENT,
  );
  return values.length === 1 ? values[0] : undefined;
}

/** Does `work`, as a span where traces are wanted. */
export function traced<T>(
  { trace }: Traced,
  name: string,
  work: () => Promise<T>,
  options?: SpanOptions,
): Promise<T> {
  return trace === undefined ? work() : trace(name, work, options);
}
