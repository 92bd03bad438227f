// The ingress bench: how fast and how small the ingress is on one core, beside nginx and HAProxy doing the same in the
// same run, round by round in turn. The upstream is a program of this machine, so that no guest is measured with it.

import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { runCommand } from "../src/lib/command.ts";
import { loadBody, type LoadOptions, loadRequests, type Protocol } from "./ingress-load.ts";
import {
  BODY_MIB,
  type Figure,
  ingressMeasures,
  LOADS,
  MESSAGE_CONNECTIONS,
  SMALL_BODY_MIB,
  seriesOf,
} from "./ingress-measures.ts";
import { type Cores, type Proxy, startProxies } from "./ingress-proxies.ts";
import { startSink } from "./ingress-sink.ts";
import { loadMessages, startEcho } from "./ingress-websockets.ts";
import { ensureBenchPackages } from "./packages.ts";
import { peakMemoryBytes, processorSeconds, resetPeakMemory } from "./processes.ts";
import type { BenchResult } from "./report.ts";
import { createSamples, type Samples } from "./samples.ts";

const SECONDS = 1;
const MIB = 1024 * 1024;

interface Context {
  readonly load: LoadOptions;
  readonly samples: Samples;
  readonly uploads: ReadonlyMap<number, string>;
}

/** Measures `rounds` times. */
export async function benchIngress(
  rounds: number,
  say: (line: string) => void,
): Promise<BenchResult> {
  await ensureBenchPackages(say);
  await using stack = new AsyncDisposableStack();
  const workDir = await mkdtemp(path.join(tmpdir(), "torpor-bench-ingress-"));
  stack.defer(() => rm(workDir, { recursive: true, force: true }));
  const cores = { proxy: 0, load: Math.min(1, availableParallelism() - 1) };
  const sink = stack.use(await startSink());
  const echo = stack.use(await startEcho());
  await pinThisProcess(cores);
  const sizes = [SMALL_BODY_MIB, BODY_MIB];
  const ports = { sinkPort: sink.port, echoPort: echo.port };
  const options = { workDir, cores, ...ports, downloadsMiB: sizes };
  const proxies = await startProxies(stack, options);
  const uploads = new Map<number, string>();
  for (const mib of sizes) uploads.set(mib, await makeUpload(workDir, mib));
  const samples = createSamples();
  const context = { load: { workDir, core: cores.load }, samples, uploads };
  say("warming up");
  await measureRound({ ...context, samples: createSamples() }, proxies);
  for (let round = 1; round <= rounds; round += 1) {
    say(`round ${round} of ${rounds}`);
    await measureRound(context, proxies);
  }
  const measures = ingressMeasures(samples);
  return { name: "ingress", rounds, floorName: "nginx", measures };
}

async function measureRound(context: Context, proxies: readonly Proxy[]): Promise<void> {
  const { load, samples } = context;
  for (const { protocol, connections } of LOADS) {
    for (const proxy of proxies) {
      if (!carries(proxy, protocol)) continue;
      let before = NaN;
      const onWarm = () => (before = processorSeconds(proxy.pid));
      const options = { protocol, connections, seconds: SECONDS, onWarm };
      const { count, perSecond, p50Ms, p99Ms } = await loadRequests(load, proxy, options);
      const cpuMs = ((processorSeconds(proxy.pid) - before) * 1000) / count;
      const add = (what: Figure, value: number) =>
        samples.add(seriesOf(proxy.name, what, { protocol, connections }), value);
      add("rate", perSecond);
      add("cpu", cpuMs);
      add("p50", p50Ms);
      add("p99", p99Ms);
    }
  }
  for (const proxy of proxies.filter(({ name }) => name !== "direct" && name !== "pipe")) {
    await measureMessages(samples, proxy);
    for (const mib of [SMALL_BODY_MIB, BODY_MIB]) {
      await measureBody(context, proxy, { kind: "download", mib });
      await measureBody(context, proxy, { kind: "upload", mib });
    }
  }
}

/** A pipe does not turn one protocol into another. */
function carries({ name }: Proxy, protocol: Protocol): boolean {
  return name !== "pipe" || protocol === "http/1.1";
}

async function measureMessages(samples: Samples, proxy: Proxy): Promise<void> {
  const target = { ...proxy, fields: proxy.echoFields };
  const before = processorSeconds(proxy.pid);
  const load = { connections: MESSAGE_CONNECTIONS, seconds: SECONDS };
  const { count, perSecond } = await loadMessages(target, load);
  samples.add(`${proxy.name} messages`, perSecond);
  samples.add(`${proxy.name} message cpu`, ((processorSeconds(proxy.pid) - before) * 1000) / count);
}

async function measureBody(
  { load, samples, uploads }: Context,
  proxy: Proxy,
  { kind, mib }: { readonly kind: "download" | "upload"; readonly mib: number },
): Promise<void> {
  const uploaded = uploads.get(mib);
  if (uploaded === undefined) throw new Error(`Nothing of ${mib} MiB to upload`);
  const bytes = mib * MIB;
  resetPeakMemory(proxy.pid);
  const speed =
    kind === "download"
      ? await loadBody(load, proxy, { path: `/${mib}`, bytes })
      : await loadBody(
          load,
          { ...proxy, fields: proxy.sinkFields },
          { path: "/sink", bytes, uploaded },
        );
  samples.add(`${proxy.name} ${kind} ${mib}`, speed);
  samples.add(`${proxy.name} ${kind} memory ${mib}`, peakMemoryBytes(proxy.pid) / MIB);
}

async function makeUpload(workDir: string, mib: number): Promise<string> {
  const file = path.join(workDir, `upload-${mib}`);
  await writeFile(file, "");
  await truncate(file, mib * MIB);
  return file;
}

/** The sink, the echo and the clients of WebSockets are part of this process. */
async function pinThisProcess({ load }: Cores): Promise<void> {
  const args = ["-apc", String(load), String(process.pid)];
  await runCommand("taskset", args, {}, AbortSignal.timeout(10_000));
}
