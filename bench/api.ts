// The API bench: requests per second and latency of what clients ask most, on one core, beside Node's bare HTTP server
// answering the same bytes to the same requests in the same round.

import {
  CreateMicrovmAuthTokenCommand,
  GetMicrovmCommand,
  ListMicrovmsCommand,
} from "@aws-sdk/client-lambda-microvms";
import { apiMeasures, CASES, type Case } from "./api-measures.ts";
import type { ApiServerReady } from "./http/api-server.ts";
import type { BareAnswer } from "./http/bare-server.ts";
import { type PinnedChild, startPinned } from "./http/child.ts";
import type { Load, LoadResult } from "./http/load.ts";
import type { LoaderAnswer } from "./http/loader.ts";
import { type RecordedCommand, recordRequests } from "./http/signed-requests.ts";
import type { BenchResult } from "./report.ts";
import { createSamples, type Samples } from "./samples.ts";

const SERVER_CORE = 0;
const LOAD_CORE = 1;
const CONNECTIONS = 32;
const BURST_MS = 1000;
const DISTINCT_REQUESTS = 200;
const PAGE = 50;
const WARM_UP_ROUNDS = 4;

interface Bench {
  readonly servers: Readonly<Record<Case["records"], ApiServerReady>>;
  readonly bare: { readonly child: PinnedChild<BareAnswer, unknown>; readonly port: number };
  readonly loader: PinnedChild<Load, LoaderAnswer>;
  readonly samples: Samples;
}

/** Measures `rounds` times. */
export async function benchApi(rounds: number, say: (line: string) => void): Promise<BenchResult> {
  await using acquired = new AsyncDisposableStack();
  say("writing records");
  const few = await startPinned<object, ApiServerReady, never>("api-server.ts", SERVER_CORE, {
    microvms: 100,
  });
  acquired.use(few.child);
  const many = await startPinned<object, ApiServerReady, never>("api-server.ts", SERVER_CORE, {
    microvms: 10_000,
  });
  acquired.use(many.child);
  const bare = await startPinned<BareAnswer, { port: number }, unknown>(
    "bare-server.ts",
    SERVER_CORE,
  );
  acquired.use(bare.child);
  const loader = await startPinned<Load, unknown, LoaderAnswer>("loader.ts", LOAD_CORE);
  acquired.use(loader.child);
  const bench: Bench = {
    servers: { 100: few.ready, 10000: many.ready },
    bare: { child: bare.child, port: bare.ready.port },
    loader: loader.child,
    samples: createSamples(),
  };
  // The first rounds meet code that is not compiled yet; a service has been up for a while.
  for (let number = 1; number <= WARM_UP_ROUNDS; number++)
    await round({ ...bench, samples: createSamples() });
  for (let number = 1; number <= rounds; number++) {
    await round(bench);
    say(`round ${number} of ${rounds}`);
  }
  return { name: "api", rounds, measures: apiMeasures(bench.samples) };
}

async function round(bench: Bench): Promise<void> {
  for (const one of CASES) await measure(bench, one);
}

async function measure({ servers, bare, loader, samples }: Bench, one: Case): Promise<void> {
  const server = servers[one.records];
  const requests = await requestsOf(server, one);
  const load = { connections: CONNECTIONS, expectedStatus: one.status, durationMs: BURST_MS };
  const [first] = requests;
  if (first === undefined) throw new RangeError("There are no microVMs to ask for");
  await bare.child.ask(await answerOf(server.port, first));
  const served = await run(loader, { ...load, requests, port: server.port });
  const floor = await run(loader, { ...load, requests, port: bare.port });
  samples.add(`${one.name} rate`, served.requestsPerSecond);
  samples.add(`${one.name} p99`, served.p99Ms);
  samples.add(`${one.name} bare rate`, floor.requestsPerSecond);
  samples.add(`${one.name} bare p99`, floor.p99Ms);
}

async function run(loader: Bench["loader"], load: Load): Promise<LoadResult> {
  const answer = await loader.ask(load);
  if ("failure" in answer) throw new Error(answer.failure);
  return answer;
}

/** Requests signed as the SDK signs them, each with a microVM of its own. */
async function requestsOf(server: ApiServerReady, one: Case): Promise<Uint8Array[]> {
  const { secretAccessKey } = server;
  const signedBy = {
    ...server,
    secretAccessKey: one.isRejected ? secretAccessKey.toLowerCase() : secretAccessKey,
  };
  const step = Math.max(1, Math.floor(server.microvmIds.length / DISTINCT_REQUESTS));
  const ids = server.microvmIds.filter((_, index) => index % step === 0);
  return recordRequests(
    signedBy,
    ids.map((microvmId) => commandOf(one, microvmId)),
  );
}

function commandOf({ operation }: Case, microvmIdentifier: string): RecordedCommand {
  switch (operation) {
    case "GetMicrovm":
      return new GetMicrovmCommand({ microvmIdentifier });
    case "ListMicrovms":
      return new ListMicrovmsCommand({ maxResults: PAGE });
    case "CreateMicrovmAuthToken":
      return new CreateMicrovmAuthTokenCommand({
        ...{ microvmIdentifier, expirationInMinutes: 60, allowedPorts: [{ port: 8080 }] },
      });
  }
}

/** What the server answers, for the bare one to repeat. */
async function answerOf(port: number, request: Uint8Array): Promise<BareAnswer> {
  const text = Buffer.from(request).toString();
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const [line = "", ...fields] = head.split("\r\n");
  const [method = "", target = ""] = line.split(" ");
  const headers = fields.map((field): [string, string] => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon), field.slice(colon + 2)];
  });
  const response = await fetch(`http://127.0.0.1:${port}${target}`, {
    ...{ method, headers: headers.filter(([name]) => name !== "host") },
    ...(body === "" ? {} : { body }),
  });
  const kept = [...response.headers].filter(
    ([name]) => !["date", "connection", "keep-alive"].includes(name),
  );
  return {
    status: response.status,
    headers: Object.fromEntries(kept),
    body: new Uint8Array(await response.arrayBuffer()),
  };
}
