// Starts a real `torpor serve` process and tells clients how to reach it. Used by the demo, the benches and the
// end-to-end tests; all of them see the service from outside, as a user does.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

export const REPOSITORY = path.resolve(import.meta.dirname, "../..");
const TORPOR = path.join(REPOSITORY, "bin/torpor");

/** Recovery of many microVMs and the first probe of KVM on a machine both fit in. */
const READY_TIMEOUT_MS = 120_000;
/** A service with requests in flight and ready slots to remove ends well within this. */
const STOP_TIMEOUT_MS = 30_000;

export interface ServiceOptions {
  readonly dataDir: string;
  /** Path of a TOML config file. */
  readonly configPath?: string;
  readonly extraArgs?: readonly string[];
  /** Gets the service's log, line by line. */
  readonly onLog?: (line: string) => void;
}

export interface RunningService {
  readonly dataDir: string;
  readonly pid: number;
  /** URL of the API and artifact store. */
  readonly endpoint: string;
  /** `host:port` of the TLS endpoint of the microVMs. */
  readonly ingress: { readonly host: string; readonly port: number };
  /** Variables as `torpor env` exports them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  /** Asks the service to end and waits; running microVMs go on. */
  stop(): Promise<void>;
  /** Ends the service without warning, as a crash does. */
  kill(): Promise<void>;
}

/** Starts the service on free ports and waits until it says that it serves. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const args = ["serve", "--json", "--data-dir", options.dataDir];
  if (options.configPath !== undefined) args.push("--config", options.configPath);
  args.push(
    "--listen",
    "127.0.0.1:0",
    "--ingress-listen",
    "127.0.0.1:0",
    ...(options.extraArgs ?? []),
  );
  const child = spawn(TORPOR, args, { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit").then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }));
  const lastLines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
    options.onLog?.(line);
  });
  const ended = exited.then(({ code }) => {
    throw new Error(`torpor serve exited with ${code}:\n${lastLines.join("\n")}`);
  });
  const ready = await readyLine(child, ended).catch(async (error: unknown) => {
    child.kill("SIGTERM");
    await exited;
    throw error;
  });
  return {
    dataDir: options.dataDir,
    pid: child.pid ?? 0,
    endpoint: ready.endpoint,
    ingress: parseAuthority(ready.ingress),
    environment: readEnvironment(options),
    exited,
    async stop() {
      child.kill("SIGTERM");
      await within(exited, STOP_TIMEOUT_MS, "torpor serve did not end after SIGTERM");
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Rejects as `ended` does when the service ends instead. */
async function readyLine(
  child: ChildProcess,
  ended: Promise<never>,
): Promise<{ endpoint: string; ingress: string }> {
  if (child.stdout === null) throw new Error("torpor serve has no standard output");
  const lines = createInterface({ input: child.stdout });
  const [line] = (await within(
    Promise.race([once(lines, "line"), ended]),
    READY_TIMEOUT_MS,
    "torpor serve is not ready",
  )) as [string];
  const message: unknown = JSON.parse(line);
  if (isReady(message)) return message;
  throw new Error(`torpor serve printed "${line}" instead of its ready line`);
}

function isReady(message: unknown): message is { endpoint: string; ingress: string } {
  return (
    typeof message === "object" &&
    message !== null &&
    "event" in message &&
    message.event === "ready" &&
    "endpoint" in message &&
    "ingress" in message
  );
}

function readEnvironment({ dataDir }: ServiceOptions): Record<string, string> {
  const output = execFileSync(TORPOR, ["env", "--json", "--data-dir", dataDir], {
    encoding: "utf8",
  });
  return JSON.parse(output) as Record<string, string>;
}

function parseAuthority(authority: string): { host: string; port: number } {
  const { hostname, port } = new URL(
    authority.includes("://") ? authority : `https://${authority}`,
  );
  return { host: hostname, port: Number(port) };
}

async function within<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${message} within ${ms / 1000} s`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
