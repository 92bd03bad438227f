// The life of a connection after the application agreed to another protocol: bytes both ways until either side ends.

import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Exchange, UpgradeRequest } from "./exchange.ts";
import { fieldValues, responseHeaders } from "./headers.ts";
import { type Passage, pipeAt } from "./pace.ts";
import { MARKER } from "./subprotocols.ts";
import type { Target, UpstreamUpgrade } from "./upstream.ts";

/** How long one side may go on sending after the other has ended. */
const HALF_CLOSED_MS = 10_000;

/** Tells the client of the upgrade, then joins the two sides; resolves when both are closed. */
export async function tunnel(
  exchange: Exchange,
  upgrade: UpgradeRequest,
  answer: UpstreamUpgrade,
  { lease, subprotocols, pace }: Target,
): Promise<void> {
  const fields = responseHeaders(answer.fields, exchange.requestId);
  const chosen = fieldValues(answer.fields, "sec-websocket-protocol");
  // A client that offered sub-protocols gives up when none is chosen (RFC 6455, 4.1).
  if (subprotocols.hasMarker && chosen.length === 0) fields.push("Sec-WebSocket-Protocol", MARKER);
  const protocol = answer.protocol ?? upgrade.protocol;
  const client = upgrade.accept({ message: answer.message, protocol, fields });
  // What came with the hand-shake goes before the rest of either side.
  if (answer.head.length > 0) answer.socket.unshift(answer.head);
  if (upgrade.head.length > 0) client.unshift(upgrade.head);
  const up = pipeAt(pace, client, answer.socket);
  const down = pipeAt(pace, answer.socket, client);
  await join(exchange, { client, application: answer.socket, up, down }, lease.signal);
}

interface Joined {
  readonly client: Duplex;
  readonly application: Duplex;
  /** From the client to the application. */
  readonly up: Passage;
  readonly down: Passage;
}

async function join(
  { traffic, signal }: Exchange,
  { client, application, up, down }: Joined,
  gone: AbortSignal,
): Promise<void> {
  const signals = [signal, gone];
  let halfClosed: NodeJS.Timeout | undefined;
  const cut = () => {
    client.destroy();
    application.destroy();
  };
  const limitRest = () => {
    halfClosed ??= setTimeout(cut, HALF_CLOSED_MS);
  };
  for (const one of signals) one.addEventListener("abort", cut, { once: true });
  if (signals.some(({ aborted }) => aborted)) cut();
  client.on("data", (chunk: Buffer) => (traffic.received += chunk.length));
  application.on("data", (chunk: Buffer) => (traffic.sent += chunk.length));
  up.last.once("end", () => application.end());
  down.last.once("end", () => client.end());
  await Promise.all([
    closeOf(client, () => up.settle(() => endSoon(application)), limitRest),
    closeOf(application, () => down.settle(() => endSoon(client)), limitRest),
  ]);
  clearTimeout(halfClosed);
  for (const one of signals) one.removeEventListener("abort", cut);
}

/** Resolves when `socket` is closed; `endOther` sees to it that what it sent before still reaches the other side. */
function closeOf(socket: Duplex, endOther: () => void, limitRest: () => void): Promise<void> {
  // An error is followed by the close, which is what counts.
  socket.on("error", limitRest);
  socket.once("end", limitRest);
  return new Promise((resolve) => {
    const onClose = () => {
      endOther();
      limitRest();
      resolve();
    };
    if (socket.closed) onClose();
    else socket.once("close", onClose);
  });
}

/** Closes after what was written is sent. */
function endSoon(duplex: Duplex): void {
  if (duplex instanceof Socket) duplex.destroySoon();
  else duplex.end(() => duplex.destroy());
}
