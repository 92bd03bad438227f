// Load through a proxy by h2load, and what it measured.

import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { runCommand } from "../src/lib/command.ts";

export type Protocol = "http/1.1" | "h2";

export interface LoadTarget {
  /** Port on 127.0.0.1 that takes TLS. */
  readonly port: number;
  /** Fields of every request, `Name: value`. */
  readonly fields: readonly string[];
}

export interface LoadOptions {
  readonly workDir: string;
  /** The core that the generator runs on. */
  readonly core: number;
}

export interface RequestRates {
  readonly perSecond: number;
  /** The number of answers. */
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const PATIENCE_MS = 30_000;
/** The hand-shakes of all connections are over by then: they are no requests. */
const WARM_UP_SECONDS = 1;
const MIB = 1024 * 1024;

export interface RequestLoad {
  readonly protocol: Protocol;
  readonly connections: number;
  readonly seconds: number;
  /** Called when what is measured begins. */
  readonly onWarm?: () => void;
}

/** Small requests for `seconds`, each connection with one request in flight. */
export async function loadRequests(
  { workDir, core }: LoadOptions,
  target: LoadTarget,
  { protocol, connections, seconds, onWarm }: RequestLoad,
): Promise<RequestRates> {
  const logFile = path.join(workDir, "requests.log");
  const args = ["-c", String(connections), "-m", "1", "-D", String(seconds)];
  // h2load adds to a file that is there.
  await rm(logFile, { force: true });
  const warm = setTimeout(() => onWarm?.(), WARM_UP_SECONDS * 1000);
  const report = await h2load(core, [
    ...(protocol === "h2" ? [] : ["--h1"]),
    ...args,
    ...[`--warm-up-time=${WARM_UP_SECONDS}s`, `--log-file=${logFile}`],
    ...requestArguments(target, "/"),
  ]).finally(() => clearTimeout(warm));
  const durations = (await readFile(logFile, "utf8"))
    .split("\n")
    .map((line) => Number(line.split("\t")[2]))
    .filter((micros) => Number.isFinite(micros))
    .sort((a, b) => a - b);
  const atMs = (share: number) => (durations[Math.floor(share * durations.length)] ?? NaN) / 1000;
  const count = figure(report, /(\d+) 2xx/);
  return {
    count,
    perSecond: figure(report, /, ([\d.]+) req\/s/),
    p50Ms: atMs(0.5),
    p99Ms: atMs(0.99),
  };
}

/** MiB per second of one body of `bytes`, downloaded from the path or uploaded to it from a file. */
export async function loadBody(
  { core }: LoadOptions,
  target: LoadTarget,
  transfer: { readonly path: string; readonly bytes: number; readonly uploaded?: string },
): Promise<number> {
  const upload = transfer.uploaded === undefined ? [] : ["-d", transfer.uploaded];
  const args = [
    "--h1",
    "-n",
    "1",
    "-c",
    "1",
    ...upload,
    ...requestArguments(target, transfer.path),
  ];
  const startedAt = performance.now();
  await h2load(core, args);
  return transfer.bytes / MIB / ((performance.now() - startedAt) / 1000);
}

function requestArguments({ port, fields }: LoadTarget, requestPath: string): string[] {
  return [...fields.flatMap((field) => ["-H", field]), `https://127.0.0.1:${port}${requestPath}`];
}

/** Rejects when an answer was missing or not a success: its speed would mean nothing. */
async function h2load(core: number, args: readonly string[]): Promise<string> {
  const command = ["-c", String(core), "h2load", ...args];
  const report = await runCommand("taskset", command, {}, AbortSignal.timeout(PATIENCE_MS));
  const failed =
    figure(report, /(\d+) failed/) + figure(report, /(\d+) 4xx/) + figure(report, /(\d+) 5xx/);
  if (failed > 0 || figure(report, /(\d+) 2xx/) === 0)
    throw new Error(`Requests failed:\n${report}`);
  return report;
}

function figure(report: string, pattern: RegExp): number {
  const text = pattern.exec(report)?.[1];
  if (text === undefined) throw new Error(`No ${String(pattern)} in what h2load said:\n${report}`);
  return Number(text);
}
