// The two ends of gRPC calls, as programs in Go: an application with gRPC's interoperability service, and a client.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { EventEmitter, on, once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { goTool } from "../../support/go-tools.ts";
import { ENDPOINT_HOST, type Harness } from "./harness.ts";

/** What the application tells of. */
export interface AppEvent {
  readonly event: "listening" | "begun" | "ended";
  readonly port?: number;
  readonly method?: string;
  readonly hasDeadline?: boolean;
  /** Calls in progress, this one included. */
  readonly atOnce?: number;
  /** Why the call's context had ended before its handler did. */
  readonly context?: string;
}

export interface GrpcApp extends AsyncDisposable {
  readonly port: number;
  readonly events: readonly AppEvent[];
  /** The first event like this, which may be yet to come. */
  event(isWanted: (event: AppEvent) => boolean): Promise<AppEvent>;
  /** Takes no more calls and ends after those in progress. */
  stop(): Promise<void>;
  /** Ends at once. */
  kill(): Promise<void>;
}

/** Starts the application; `flags` are those of `serve`. */
export async function startGrpcApp(...flags: string[]): Promise<GrpcApp> {
  const peer = await startPeer<AppEvent>(["serve", ...flags]);
  const event: GrpcApp["event"] = async (isWanted) => {
    const found = peer.lines.find(isWanted);
    if (found !== undefined) return found;
    const signal = AbortSignal.timeout(EVENT_TIMEOUT_MS);
    const later = on(peer.told, "line", { signal }) as AsyncIterable<[AppEvent]>;
    for await (const [line] of later) if (isWanted(line)) return line;
    throw new Error("The application has ended");
  };
  const { port = 0 } = await event(({ event }) => event === "listening");
  return {
    ...{ port, event, events: peer.lines, kill: peer.kill },
    async stop() {
      peer.order("stop");
      await peer.ended;
    },
    [Symbol.asyncDispose]: peer.kill,
  };
}

/** How a call ended: gRPC's name of the code, `OK` for one that went well or goes on. */
export interface CallResult {
  readonly code: string;
  readonly message?: string;
}

export interface GrpcClient extends AsyncDisposable {
  /**
   * `unary BYTES`; `open [DEADLINE_MS]`, then `exchange TIMES BYTES`, `cancel`, `wait` or `finish` of the open call;
   * `streams COUNT ENOUGH`, calls held until enough of them are in progress.
   */
  ask(order: string): Promise<CallResult>;
}

/** A client of the ingress with one connection; `fields` are the metadata of each call. */
export async function startGrpcClient(
  harness: Harness,
  fields: Readonly<Record<string, string>>,
): Promise<GrpcClient> {
  const { host, port } = harness.ingress.address;
  const peer = await startPeer<CallResult>([
    ...["call", "-address", `${host}:${port}`, "-ca", harness.caFile, "-name", ENDPOINT_HOST],
    ...["-metadata", grpcMetadata(fields)],
  ]);
  return {
    async ask(order) {
      const signal = AbortSignal.timeout(EVENT_TIMEOUT_MS);
      const answered = once(peer.told, "line", { signal }) as Promise<[CallResult]>;
      peer.order(order);
      return (await answered)[0];
    },
    [Symbol.asyncDispose]: peer.kill,
  };
}

/** The fields as both clients take them. */
export function grpcMetadata(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}:${value}`)
    .join(";");
}

/** A machine that is busy with other tests may be slow; nothing here waits as long for what will not come. */
const EVENT_TIMEOUT_MS = 60_000;

interface Peer<Line> {
  /** Emits `line`. */
  readonly told: EventEmitter;
  readonly lines: Line[];
  readonly ended: Promise<unknown>;
  order(line: string): void;
  kill(): Promise<void>;
}

async function startPeer<Line>(args: readonly string[]): Promise<Peer<Line>> {
  const program = await goTool("grpc-peer");
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(program, args, {
    stdio: ["pipe", "pipe", "inherit"],
    env: {},
  });
  // Orders to one that has ended; its end is what counts.
  child.stdin.on("error", () => undefined);
  const ended = once(child, "close");
  const told = new EventEmitter();
  const lines: Line[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Line;
    lines.push(line);
    told.emit("line", line);
  });
  return {
    ...{ told, lines, ended },
    order: (line) => void child.stdin.write(`${line}\n`),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
