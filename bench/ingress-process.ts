// The ingress of `bench ingress`, in a process of its own: real tokens, certificates of a local authority, leases and
// counters, on this machine's loopback address where microVMs would be. Says on standard output where it listens, and ends with
// its standard input.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createIngress } from "../src/ingress/server.ts";
import { systemClock } from "../src/lib/clock.ts";
import { createLog } from "../src/lib/log.ts";
import { createLiveMicrovms, newLiveVmm } from "../src/microvms/live.ts";
import { createInstruments } from "../src/metrics/metrics.ts";
import { observeExchanges } from "../src/metrics/observers.ts";
import type { MicrovmRecord } from "../src/microvms/records.ts";
import { createTraffic, type Traffic } from "../src/microvms/traffic.ts";
import { openAuthority } from "../src/tls/authority.ts";
import { createTlsContexts } from "../src/tls/contexts.ts";
import { createTokens } from "../src/tokens/jwe-tokens.ts";
import { openTokenKeys } from "../src/tokens/keys.ts";

/** What the process says of itself. */
export interface IngressFacts {
  readonly port: number;
  /** For every port of the one microVM. */
  readonly token: string;
}

const REGION = "us-east-1";
const TOKEN_MS = 60 * 60 * 1000;

const record: MicrovmRecord = {
  ...{ account: "000000000000", region: REGION, microvmId: "microvm-bench" },
  ...{ endpointId: "7b0e7c57-64b6-4a3e-8f52-a1b2c3d4e5f6", imageName: "app", imageVersion: "1.0" },
  imageArn: `arn:aws:lambda:${REGION}:000000000000:microvm-image:app`,
  ...{ state: "RUNNING", desired: "RUNNING", stateReason: null, executionRoleArn: null },
  ingressNetworkConnectors: [
    `arn:aws:lambda:${REGION}:aws:network-connector:aws-network-connector:HTTP_INGRESS`,
  ],
  ...{ egressNetworkConnectors: [], idlePolicy: null, maximumDurationInSeconds: 28800 },
  ...{ runHookPayload: null, logging: null, startedAt: 0, suspendedAt: null, terminatedAt: null },
  vmmId: "vmm-1",
};

/** The service's own gate, with a microVM that runs on this machine's loopback address. */
function trafficOfOne(): Traffic {
  const live = createLiveMicrovms(Date.now);
  live.put(record);
  const vmm = newLiveVmm({ vmmId: "vmm-1", address: "127.0.0.1" });
  vmm.isOpen = true;
  const entry = live.get(record.microvmId);
  if (entry !== undefined) entry.vmm = vmm;
  const none = () => Promise.reject(new Error("There is one microVM in a bench"));
  const microvms = { get: none, findByEndpoint: none, amend: none };
  return createTraffic({
    ...{ live, microvms, clock: systemClock(), onQuiet: () => undefined, waitMs: 1000 },
  });
}

async function main(workDir: string): Promise<void> {
  const log = createLog("info", (line) => process.stderr.write(line));
  const deps = { now: Date.now, log };
  const keysDirectory = path.join(workDir, "keys");
  await mkdir(keysDirectory, { recursive: true });
  const authority = await openAuthority(deps, keysDirectory);
  const { cert, key } = authority.issue(REGION);
  await writeFile(path.join(workDir, "cert.pem"), cert);
  await writeFile(path.join(workDir, "key.pem"), key);
  const tokens = createTokens({ keys: await openTokenKeys(deps, keysDirectory), now: deps.now });
  const traffic = trafficOfOne();
  const shellAccess = () => Promise.reject(new Error("There are no shells in a bench"));
  const tls = createTlsContexts({ authority, now: deps.now }, REGION);
  const listen = { host: "127.0.0.1", port: 0 };
  const observe = observeExchanges(createInstruments("bench"));
  const parts = { traffic, tokens, tls, log, shellAccess, observe };
  const ingress = await createIngress(parts, { listen });
  const expiresAt = Date.now() + TOKEN_MS;
  const token = await tokens.mint({
    microvmId: record.microvmId,
    ports: [{ allPorts: {} }],
    expiresAt,
  });
  const facts: IngressFacts = { port: ingress.address.port, token };
  process.stdout.write(`${JSON.stringify(facts)}\n`);
  process.stdin.resume().once("end", () => void ingress[Symbol.asyncDispose]());
}

await main(process.argv[2] ?? "");
