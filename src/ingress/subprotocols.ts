// The WebSocket sub-protocols by which browsers, which cannot set headers, say token and port:
// `lambda-microvms` (marker), `lambda-microvms.authentication.{token}`, `lambda-microvms.port.{n}`.

export const MARKER = "lambda-microvms";
const TOKEN_PREFIX = `${MARKER}.authentication.`;
const PORT_PREFIX = `${MARKER}.port.`;

export interface Subprotocols {
  /** The client offered the marker; without it the other two are not read. */
  readonly hasMarker: boolean;
  readonly token: string | undefined;
  /** Not yet checked. */
  readonly port: string | undefined;
  /** The application's own, in the order offered. */
  readonly foreign: readonly string[];
}

export const NO_SUBPROTOCOLS: Subprotocols = {
  hasMarker: false,
  token: undefined,
  port: undefined,
  foreign: [],
};

/** Sorts what a `Sec-WebSocket-Protocol` request header offers. */
export function parseSubprotocols(header: string | undefined): Subprotocols {
  const offered = (header ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const hasMarker = offered.includes(MARKER);
  const after = (prefix: string) =>
    offered.find((name) => name.startsWith(prefix))?.slice(prefix.length);
  return {
    hasMarker,
    token: hasMarker ? after(TOKEN_PREFIX) : undefined,
    port: hasMarker ? after(PORT_PREFIX) : undefined,
    // Ours are removed even when malformed or without the marker: a token must never reach the application.
    foreign: offered.filter(
      (name) => name !== MARKER && !name.startsWith(TOKEN_PREFIX) && !name.startsWith(PORT_PREFIX),
    ),
  };
}
