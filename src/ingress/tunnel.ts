// The life of a connection after the application agreed to another protocol: bytes both ways until either side ends.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TrafficLease } from "../microvms/traffic.ts";
import type { Exchange, UpgradeRequest } from "./exchange.ts";
import { fieldValues, responseHeaders } from "./headers.ts";
import { MARKER, type Subprotocols } from "./subprotocols.ts";

export interface UpgradeAnswer {
  readonly upgrade: UpgradeRequest;
  readonly incoming: IncomingMessage;
  readonly socket: Socket;
  /** What the application sent after its header. */
  readonly head: Buffer;
}

export interface TunnelTarget {
  readonly lease: TrafficLease;
  readonly subprotocols?: Subprotocols;
}

/** How long one side may go on sending after the other has ended. */
const HALF_CLOSED_MS = 10_000;

/** Tells the client of the upgrade, then joins the two sockets; resolves when both are closed. */
export async function tunnel(
  exchange: Exchange,
  answer: UpgradeAnswer,
  target: TunnelTarget,
): Promise<void> {
  const { response, signal } = exchange;
  const { upgrade } = answer;
  const client = upgrade.socket;
  response.statusCode = 101;
  response.detachSocket(client);
  client.write(switchingProtocols(exchange, answer, target.subprotocols), "latin1");
  if (answer.head.length > 0) client.write(answer.head);
  if (upgrade.head.length > 0) answer.socket.write(upgrade.head);
  await join(exchange, client, answer.socket, [signal, target.lease.signal]);
}

function switchingProtocols(
  exchange: Exchange,
  { incoming, upgrade }: UpgradeAnswer,
  subprotocols: Subprotocols | undefined,
): string {
  const fields = responseHeaders(incoming.rawHeaders, exchange.requestId);
  const chosen = fieldValues(incoming.rawHeaders, "sec-websocket-protocol");
  // A client that offered sub-protocols gives up when none is chosen (RFC 6455, 4.1).
  if (subprotocols?.hasMarker === true && chosen.length === 0) {
    fields.push("Sec-WebSocket-Protocol", MARKER);
  }
  fields.push("Connection", "Upgrade", "Upgrade", incoming.headers.upgrade ?? upgrade.protocol);
  const lines = fields.flatMap((field, index) =>
    index % 2 === 0 ? [`${field}: ${fields[index + 1] ?? ""}`] : [],
  );
  return `HTTP/1.1 101 ${incoming.statusMessage ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n`;
}

async function join(
  exchange: Exchange,
  client: Socket,
  application: Socket,
  signals: readonly AbortSignal[],
): Promise<void> {
  const { traffic } = exchange;
  let halfClosed: NodeJS.Timeout | undefined;
  const cut = () => {
    client.destroy();
    application.destroy();
  };
  const limitRest = () => {
    halfClosed ??= setTimeout(cut, HALF_CLOSED_MS);
  };
  for (const signal of signals) signal.addEventListener("abort", cut, { once: true });
  if (signals.some((signal) => signal.aborted)) cut();
  client.on("data", (chunk: Buffer) => (traffic.received += chunk.length));
  application.on("data", (chunk: Buffer) => (traffic.sent += chunk.length));
  client.pipe(application);
  application.pipe(client);
  await Promise.all([
    closeOf(client, application, limitRest),
    closeOf(application, client, limitRest),
  ]);
  clearTimeout(halfClosed);
  for (const signal of signals) signal.removeEventListener("abort", cut);
}

/** Resolves when `socket` is closed; what it sent before still reaches `other`. */
function closeOf(socket: Socket, other: Socket, limitRest: () => void): Promise<void> {
  // An error is followed by the close, which is what counts.
  socket.on("error", limitRest);
  socket.once("end", limitRest);
  return new Promise((resolve) => {
    const onClose = () => {
      other.destroySoon();
      limitRest();
      resolve();
    };
    if (socket.closed) onClose();
    else socket.once("close", onClose);
  });
}
