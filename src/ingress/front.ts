// The listening socket. Where load balancers speak the PROXY protocol, a plain server stands before the TLS one: it takes
// the header off the balancers' connections and remembers which client each is for.

import { createServer, type Server, type Socket } from "node:net";
import type { Server as TlsServer, TLSSocket } from "node:tls";
import { plainAddress } from "../lib/cidrs.ts";
import { takeProxyHeader } from "./proxy-protocol.ts";

export interface ProxyProtocolRules {
  /** Whose connections begin with a header; others are clients' own. */
  readonly isBalancer: (address: string | undefined) => boolean;
  /** From the connection to the end of its header. */
  readonly timeoutMs: number;
}

/** Addresses of clients whose connections came through a balancer, by the balancer's end of the connection. */
export class ClientAddresses {
  readonly #known = new Map<string, { readonly address: string }>();

  /** Remembers a client until its connection closes. */
  remember(socket: Socket, address: string): void {
    const end = endOf(socket);
    const client = { address };
    this.#known.set(end, client);
    socket.once("close", () => {
      // A balancer may come again from a port before the end of the connection it reset is told.
      if (this.#known.get(end) === client) this.#known.delete(end);
    });
  }

  /** The client of a connection; undefined when that is gone already. */
  of(socket: Socket | TLSSocket): string | undefined {
    const peer = socket.remoteAddress;
    if (peer === undefined) return undefined;
    return this.#known.get(endOf(socket))?.address ?? plainAddress(peer);
  }
}

/** An address and port have one connection to a listening socket at a time. */
function endOf({ remoteAddress, remotePort }: Socket | TLSSocket): string {
  return `${remoteAddress ?? ""} ${remotePort ?? ""}`;
}

/** A server that hands its connections to `tls`. `onConnection` hears of each as it comes. */
export function createProxiedFront(
  tls: TlsServer,
  rules: ProxyProtocolRules,
  clients: ClientAddresses,
): Server {
  return createServer({ keepAlive: true, noDelay: true }, (socket) => {
    // Ends of all kinds are followed by the close, which is what counts.
    socket.on("error", () => undefined);
    if (!rules.isBalancer(socket.remoteAddress)) return void tls.emit("connection", socket);
    takeProxyHeader(socket, rules.timeoutMs).then(
      ({ address }) => {
        if (address !== undefined) clients.remember(socket, address);
        tls.emit("connection", socket);
      },
      () => socket.destroy(),
    );
  });
}
