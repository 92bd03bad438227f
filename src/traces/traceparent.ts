// The `traceparent` field of W3C Trace Context, level 1.

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

const FIELD =
  /^(?<version>[0-9a-f]{2})-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<rest>-.*)?$/;
const SAMPLED = 1;

/** Reads a field; undefined when it is absent or not valid, and the trace begins here. */
export function parseTraceparent(text: string | undefined): TraceParent | undefined {
  const { version, traceId, spanId, flags, rest } = FIELD.exec(text?.trim() ?? "")?.groups ?? {};
  if (version === undefined || traceId === undefined || spanId === undefined) return undefined;
  // A later version may have more to say at the end; this one has not, and `ff` will never be one.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags ?? "", 16) & SAMPLED) !== 0 };
}

/** The field that names a span. */
export function formatTraceparent({ traceId, spanId, isSampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}
