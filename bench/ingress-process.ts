// The ingress of `bench ingress`, in a process of its own: real tokens and certificates of a local authority, and leases
// on this machine's loopback address where microVMs would be. Says on standard output where it listens, and ends with
// its standard input.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createIngress } from "../src/ingress/server.ts";
import { createLog } from "../src/lib/log.ts";
import type { MicrovmRecord } from "../src/microvms/records.ts";
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
  const { signal } = new AbortController();
  const open = () =>
    Promise.resolve({
      ...{ address: "127.0.0.1", vmmId: "bench", signal, waitedMs: 0 },
      [Symbol.dispose]: () => undefined,
    });
  const traffic = {
    findById: () => Promise.resolve(record),
    ...{ open, whenRunning: open, noteActivity: () => undefined },
  };
  const shellAccess = () => Promise.reject(new Error("There are no shells in a bench"));
  const tls = createTlsContexts({ authority, now: deps.now }, REGION);
  const listen = { host: "127.0.0.1", port: 0 };
  const ingress = await createIngress({ traffic, tokens, tls, log, shellAccess }, { listen });
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
