// The processes of `bench ingress`: the upstream on one core, and on another the ingress beside nginx and HAProxy, which
// end TLS with the same certificate and pass everything to the same upstream.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { REPOSITORY } from "../scripts/walkthrough/service.ts";
import {
  type Addresses,
  haproxyConfiguration,
  nginxConfiguration,
  upstreamConfiguration,
} from "./ingress-configurations.ts";
import type { LoadTarget } from "./ingress-load.ts";
import type { IngressFacts } from "./ingress-process.ts";

export interface Proxy extends LoadTarget {
  readonly name: "ingress" | "nginx" | "HAProxy" | "pipe" | "direct";
  readonly pid: number;
  /** For uploads, which another program than the upstream takes. */
  readonly sinkFields: readonly string[];
  /** For WebSockets, which another one takes. */
  readonly echoFields: readonly string[];
}

export interface Cores {
  readonly proxy: number;
  /** Of the upstream and the load generator. */
  readonly load: number;
}

export interface ProxiesOptions {
  readonly workDir: string;
  readonly cores: Cores;
  readonly sinkPort: number;
  readonly echoPort: number;
  /** Sizes of the files that the upstream serves by the name of their size. */
  readonly downloadsMiB: readonly number[];
}

const READY_MS = 10_000;
const RETRY_MS = 10;
const FREE_PORTS = 4;

/** Starts them all; `stack` ends them. The last one is the upstream itself, without a proxy. */
export async function startProxies(
  stack: AsyncDisposableStack,
  options: ProxiesOptions,
): Promise<readonly Proxy[]> {
  const { workDir, cores, sinkPort, echoPort } = options;
  const run = (core: number, command: readonly string[]) => startPinned(stack, core, command);
  await makeDownloads(options);
  const program = (name: string) => path.join(REPOSITORY, "bench", name);
  // As `bin/torpor` starts Node.
  const flags = ["--max-semi-space-size=64", "--disable-warning=ExperimentalWarning"];
  const node = [process.execPath, ...flags];
  const ingress = run(cores.proxy, [...node, program("ingress-process.ts"), workDir]);
  const facts = (await readFacts(ingress)) as IngressFacts;
  const [upstreamPort = 0, direct = 0, nginxPort = 0, haproxyPort = 0] = await freePorts();
  const addresses = {
    ...{ upstream: upstreamPort, direct, sink: sinkPort, echo: echoPort },
    ...{ nginx: nginxPort, haproxy: haproxyPort },
  };
  await writeConfigurations(workDir, addresses);
  const at = (name: string) => path.join(workDir, name);
  const upstream = run(cores.load, ["nginx", "-e", at("upstream.log"), "-c", at("upstream.conf")]);
  const nginx = run(cores.proxy, ["nginx", "-e", at("nginx.log"), "-c", at("nginx.conf")]);
  const haproxy = run(cores.proxy, ["haproxy", "-db", "-f", at("haproxy.cfg")]);
  const pipeArguments = [program("ingress-pipe.ts"), workDir, String(upstreamPort)];
  const pipe = run(cores.proxy, [...node, ...pipeArguments]);
  const { port: pipePort } = await readFacts(pipe);
  await Promise.all(Object.values(addresses).map((port) => waitForPort(port)));
  const fieldsFor = (port: number) => [
    `X-aws-proxy-auth: ${facts.token}`,
    `X-aws-proxy-port: ${port}`,
  ];
  const proxy = (name: Proxy["name"], { pid = 0 }: ChildProcess, port: number): Proxy => {
    return {
      ...{ name, port, pid, fields: fieldsFor(upstreamPort) },
      ...{ sinkFields: fieldsFor(sinkPort), echoFields: fieldsFor(echoPort) },
    };
  };
  return [
    proxy("ingress", ingress, facts.port),
    proxy("nginx", nginx, nginxPort),
    proxy("HAProxy", haproxy, haproxyPort),
    proxy("pipe", pipe, pipePort),
    proxy("direct", upstream, direct),
  ];
}

/** A hole in a file costs no disk. */
async function makeDownloads({ workDir, downloadsMiB }: ProxiesOptions): Promise<void> {
  const directory = path.join(workDir, "www");
  await mkdir(directory);
  for (const mib of downloadsMiB) {
    const file = path.join(directory, String(mib));
    await writeFile(file, "");
    await truncate(file, mib * 1024 * 1024);
  }
}

async function writeConfigurations(workDir: string, addresses: Addresses): Promise<void> {
  const at = (name: string) => path.join(workDir, name);
  await writeFile(at("upstream.conf"), upstreamConfiguration(workDir, addresses));
  await writeFile(at("nginx.conf"), nginxConfiguration(workDir, addresses));
  await writeFile(at("haproxy.cfg"), haproxyConfiguration(workDir, addresses));
  const parts = await Promise.all(
    ["cert.pem", "key.pem"].map((name) => readFile(at(name), "utf8")),
  );
  await writeFile(at("haproxy.pem"), parts.join("\n"), { mode: 0o600 });
}

/** taskset becomes the program: the child's pid is the program's. */
function startPinned(
  stack: AsyncDisposableStack,
  core: number,
  command: readonly string[],
): ChildProcess {
  const child = spawn("taskset", ["-c", String(core), ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.kill("SIGTERM");
    await exited;
  });
  return child;
}

/** What a program of the bench says once it listens. */
async function readFacts({ stdout }: ChildProcess): Promise<Pick<IngressFacts, "port">> {
  if (stdout === null) throw new Error("The program has no standard output");
  const signal = AbortSignal.timeout(READY_MS);
  const [line] = (await once(createInterface(stdout), "line", { signal })) as [string];
  return JSON.parse(line) as Pick<IngressFacts, "port">;
}

/** Ports that nobody listened on a moment ago. */
async function freePorts(): Promise<number[]> {
  const servers = Array.from({ length: FREE_PORTS }, () => net.createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

async function waitForPort(port: number): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const socket = net.connect(port, "127.0.0.1");
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    if (isThere) return;
    if (Date.now() > deadline) throw new Error(`Nothing listens on port ${port}`);
    await delay(RETRY_MS);
  }
}
