// The microVM bench: how long a user waits for a microVM to start, answer, sleep and wake, and what it costs the host
// meanwhile. The service is seen from outside, through the AWS SDK and HTTPS. In every round the floor goes through the
// same, so that other load on the machine meets both.

import https from "node:https";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  GetMicrovmCommand,
  ResumeMicrovmCommand,
  RunMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { callEndpoint, mintToken, poll, waitForState } from "../scripts/walkthrough/client.ts";
import { readManifest } from "../src/host/image-files.ts";
import { dataPaths } from "../src/lib/paths.ts";
import { type Floor, openFloor } from "./floor.ts";
import { microvmMeasures, type Series } from "./microvm-measures.ts";
import { allocatedBytes, pidsWith, privateBytes, writtenBytes } from "./processes.ts";
import type { BenchResult } from "./report.ts";
import { createSamples, type Samples } from "./samples.ts";
import { buildFlask, startBenchService, type BenchService } from "./service.ts";

const APP_PORT = 8080;
/** Apart from the service's default range; one slot is enough. */
const FLOOR_CIDR = "100.95.255.0/28";
const FLOOR_UID_BASE = 1_900_000_000;
/** Between two measurements: whatever the service does after an answer, such as making slots anew, is over. */
const SETTLE_MS = 700;
/** MicroVMs that run at once while memory is measured: what they share must not count as anybody's own. */
const NEIGHBOURS = 4;
const MIB = 1024 * 1024;
const POLICY = {
  maxIdleDurationSeconds: 3600,
  suspendedDurationSeconds: 3600,
  autoResumeEnabled: true,
} as const;

interface Context {
  readonly service: BenchService;
  readonly imageArn: string;
  readonly samples: Samples;
}

interface Microvm {
  readonly id: string;
  readonly endpoint: string;
}

/** Builds the image and measures `rounds` times. */
export async function benchMicrovm(
  rounds: number,
  say: (line: string) => void,
): Promise<BenchResult> {
  say("starting the service");
  await using service = await startBenchService();
  say("building the image");
  const { imageArn, files } = await buildFlask(service);
  const { accelerator } = (await readManifest(files)).hardware;
  const workDir = path.join(service.dataDir, "floor");
  mkdirSync(workDir);
  await using floor = await openFloor({
    ...{ image: files, workDir, cidr: FLOOR_CIDR, uidBase: FLOOR_UID_BASE, appPort: APP_PORT },
  });
  const context: Context = { service, imageArn, samples: createSamples() };
  // The first of everything pays for code that is loaded once; users meet a service that has been up for a while.
  await round({ ...context, samples: createSamples() }, floor, createSamples());
  const floors = createSamples();
  for (let number = 1; number <= rounds; number++) {
    await round(context, floor, floors);
    say(`round ${number} of ${rounds}`);
  }
  for (let measured = 0; measured < rounds; measured += NEIGHBOURS) {
    await measureMemory(context);
    say(`memory of ${NEIGHBOURS} at once, ${Math.min(measured + NEIGHBOURS, rounds)} of ${rounds}`);
  }
  return {
    name: "microvm",
    rounds,
    accelerator,
    measures: microvmMeasures(context.samples, floors),
  };
}

async function round(context: Context, floor: Floor, floors: Samples): Promise<void> {
  await floorRound(floor, floors);
  await firstAnswerRound(context);
  await lifeRound(context);
}

async function floorRound(floor: Floor, floors: Samples): Promise<void> {
  const total = (name: string, steps: Readonly<Record<string, number>>) => {
    floors.add(
      name,
      Object.values(steps).reduce((sum, ms) => sum + ms, 0),
    );
    for (const [step, ms] of Object.entries(steps)) floors.add(`${name}: ${step}`, ms);
  };
  total("run", await floor.run());
  await delay(SETTLE_MS);
  const began = performance.now();
  await floor.request();
  floors.add("request", performance.now() - began);
  total("suspend", await floor.suspend());
  floors.add("dirty", floor.savedBytes() / MIB);
  await delay(SETTLE_MS);
  total("resume", await floor.resume());
  await floor.end();
  await delay(SETTLE_MS);
}

/** A user who calls at once: the request waits in the ingress until there is somebody to answer it. */
async function firstAnswerRound({ service, imageArn, samples }: Context): Promise<void> {
  const began = performance.now();
  const microvm = await run(service, imageArn);
  samples.add("call", performance.now() - began);
  const token = await mintToken(service.clients, microvm.id, APP_PORT);
  await request(service, microvm, token);
  samples.add("first200", performance.now() - began);
  await terminate(service, microvm);
}

async function lifeRound({ service, imageArn, samples }: Context): Promise<void> {
  const { clients, dataDir } = service;
  const timed = async (name: Series, work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    samples.add(name, performance.now() - began);
    await delay(SETTLE_MS);
  };
  let microvm: Microvm = { id: "", endpoint: "" };
  await timed("running", async () => {
    microvm = await run(service, imageArn);
    await untilState(service, microvm, "RUNNING");
  });
  const token = await mintToken(clients, microvm.id, APP_PORT);
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  await request(service, microvm, token, agent);
  await timed("warm", () => request(service, microvm, token, agent));
  agent.destroy();

  const suspend = async () => {
    const command = new SuspendMicrovmCommand({ microvmIdentifier: microvm.id });
    await clients.microvms.send(command);
    await untilState(service, microvm, "SUSPENDED");
  };
  const before = writtenBytes(clients.service.pid);
  await timed("suspend", suspend);
  // QEMU itself wrote the device state once before the service took it over.
  const saved = allocatedBytes(path.join(filesOf(dataDir, microvm), "saved"));
  samples.add("written", (writtenBytes(clients.service.pid) - before) / MIB);
  samples.add("dirty", (await dirtyBytes(service, microvm)) / MIB);
  samples.add("saved", saved / MIB);
  samples.add("disk", allocatedBytes(filesOf(dataDir, microvm)) / MIB);
  samples.add("processes", pidsWith(microvm.id).length);

  await timed("resume", async () => {
    await clients.microvms.send(new ResumeMicrovmCommand({ microvmIdentifier: microvm.id }));
    await request(service, microvm, token);
  });
  await suspend();
  await delay(SETTLE_MS);
  await timed("autoResume", () => request(service, microvm, token));
  await terminate(service, microvm);
}

async function measureMemory({ service, imageArn, samples }: Context): Promise<void> {
  const { clients } = service;
  const microvms: Microvm[] = [];
  for (let count = 0; count < NEIGHBOURS; count++) microvms.push(await run(service, imageArn));
  for (const microvm of microvms) {
    const token = await mintToken(clients, microvm.id, APP_PORT);
    for (let calls = 0; calls < 2; calls++) await request(service, microvm, token);
  }
  for (const { id } of microvms) {
    const [pid] = pidsWith(id);
    if (pid === undefined) throw new Error(`There is no process of ${id}`);
    samples.add("private", privateBytes(pid) / MIB);
  }
  for (const microvm of microvms) await terminate(service, microvm);
}

async function run({ clients }: BenchService, imageIdentifier: string): Promise<Microvm> {
  const command = new RunMicrovmCommand({ imageIdentifier, idlePolicy: POLICY });
  const { microvmId: id = "", endpoint = "" } = await clients.microvms.send(command);
  return { id, endpoint };
}

async function request(
  { clients }: BenchService,
  { endpoint }: Microvm,
  token: string,
  agent?: https.Agent,
): Promise<void> {
  const options = agent === undefined ? {} : { agent };
  const answer = await callEndpoint(clients.service, endpoint, token, options);
  if (answer.status !== 200)
    throw new Error(`${endpoint} answered ${answer.status}: ${answer.body}`);
}

/** As `waitForState`, but without a pause between two looks. */
async function untilState({ clients }: BenchService, { id }: Microvm, state: string) {
  const look = async () => {
    const command = new GetMicrovmCommand({ microvmIdentifier: id });
    const microvm = await clients.microvms.send(command);
    if (microvm.state === "TERMINATED") throw new Error(`${id} ended: ${microvm.stateReason}`);
    return microvm.state === state ? true : undefined;
  };
  await poll(60_000, `${id} to be ${state}`, look, 1);
}

async function terminate({ clients }: BenchService, { id }: Microvm): Promise<void> {
  await clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier: id }));
  await waitForState(clients, id, ["TERMINATED"]);
  await delay(SETTLE_MS);
}

function filesOf(dataDir: string, { id }: Microvm): string {
  return path.join(dataPaths(dataDir).microvms, id);
}

/** What the service says it found dirty, from its log. */
async function dirtyBytes({ log }: BenchService, { id }: Microvm): Promise<number> {
  return poll(5000, `the log line of ${id}'s suspend`, async () => {
    for (const line of log.toReversed()) {
      if (!line.includes(id) || !line.includes("dirtyBytes")) continue;
      return (JSON.parse(line) as { dirtyBytes: number }).dirtyBytes;
    }
    return undefined;
  });
}
