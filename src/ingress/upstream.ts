// The application's side of an exchange, whatever the HTTP version spoken with it.

import type { Duplex, Readable } from "node:stream";
import { ServiceError } from "../errors.ts";
import type { TrafficLease } from "../microvms/lease.ts";
import type { Exchange } from "./exchange.ts";
import type { RawHeaders } from "./headers.ts";
import type { Pace } from "./pace.ts";
import type { Subprotocols } from "./subprotocols.ts";

export interface Target {
  readonly lease: TrafficLease;
  readonly port: number;
  /** Whether the application speaks TLS there. */
  readonly isTls: boolean;
  readonly subprotocols: Subprotocols;
  readonly connectTimeoutMs: number;
  /** How fast bodies may go; any speed where there is none. */
  readonly pace: Pace | undefined;
  /** Largest body of a request; Infinity for any size. */
  readonly maxBodyBytes: number;
}

export type UpstreamAnswer = UpstreamResponse | UpstreamUpgrade;

export interface UpstreamResponse {
  readonly kind: "response";
  readonly status: number;
  readonly message: string;
  readonly fields: RawHeaders;
  /** The header was the end. */
  readonly isEmpty: boolean;
  readonly body: Readable;
  /** The trailer fields of a body that has ended as it should; undefined when it was cut off. */
  trailers(): RawHeaders | undefined;
  /** Why a body was cut off, in the words of HTTP/2; undefined when the application did not say. */
  cutCode(): number | undefined;
  /** The response is relayed: what is left of the request has nowhere to go. */
  release(): void;
  /** Gives the response up. */
  cut(): void;
}

export interface UpstreamUpgrade {
  readonly kind: "upgraded";
  readonly message: string;
  readonly fields: RawHeaders;
  readonly protocol: string | undefined;
  readonly socket: Duplex;
  /** What the application sent after its header. */
  readonly head: Buffer;
}

/** Requests that may be sent again when a kept connection proves dead before any answer. */
const REPLAYABLE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/** Whether the request may be sent a second time. */
export function isReplayable({ framing, upgrade, method }: Exchange): boolean {
  return framing.kind === "none" && upgrade === undefined && REPLAYABLE_METHODS.has(method);
}

/** The failure of a request before its answer. `wasReused`: on a connection that had served before. */
export function unreachable(port: number, wasReused: boolean, cause?: Error): ServiceError {
  return new ServiceError("GUEST_UNREACHABLE", `Cannot reach application port ${port}`, {
    cause,
    details: { wasReused },
  });
}

/** Counts the request's body as it comes, and calls `cut` when it is too large. */
export function countBody(
  { body, traffic }: Exchange,
  { maxBodyBytes }: Target,
  cut: () => void,
): void {
  body.on("data", (chunk: Buffer) => {
    traffic.received += chunk.length;
    if (traffic.received > maxBodyBytes) cut();
  });
}

/** Calls `cut` when the signal aborts; the result stops that. */
export function cutWith(signal: AbortSignal, cut: () => void): () => void {
  if (signal.aborted) cut();
  else signal.addEventListener("abort", cut, { once: true });
  return () => signal.removeEventListener("abort", cut);
}

/** Calls `done` at the end of what is read; a stream of HTTP/2 that has not a single byte may be there already. */
export function whenEnded(body: Readable, done: () => void): void {
  if (body.readableEnded) done();
  else body.once("end", done);
}
