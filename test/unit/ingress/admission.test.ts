import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { before, test } from "node:test";
import { admit, type AdmissionRequest } from "../../../src/ingress/admission.ts";
import { parseRequestHost } from "../../../src/ingress/hostname.ts";
import { REFUSALS } from "../../../src/ingress/refusal.ts";
import { NO_SUBPROTOCOLS } from "../../../src/ingress/subprotocols.ts";
import type { MicrovmRecord } from "../../../src/microvms/records.ts";
import { createTokens } from "../../../src/tokens/jwe-tokens.ts";
import type { PortGrant, Tokens } from "../../../src/tokens/tokens.ts";

const ENDPOINT = "7b0e7c57-64b6-4a3e-8f52-a1b2c3d4e5f6";
const HOST = `${ENDPOINT}.lambda-microvm.eu-west-1.localhost`;
const connector = (name: string) =>
  `arn:aws:lambda:eu-west-1:aws:network-connector:aws-network-connector:${name}`;

let tokens: Tokens;
before(async () => {
  const algorithm = { name: "AES-GCM", length: 256 };
  const key = await webcrypto.subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]);
  const kid = "5d0f2cf2-1f5f-4f0b-9d6c-0a1b2c3d4e5f";
  tokens = createTokens({ keys: [{ kid, key }], now: () => 0 });
});

function record(changes: Partial<MicrovmRecord> = {}): MicrovmRecord {
  return {
    account: "000000000000",
    region: "eu-west-1",
    microvmId: "microvm-1",
    endpointId: ENDPOINT,
    imageName: "app",
    imageArn: "",
    imageVersion: "1.0",
    state: "RUNNING",
    desired: "RUNNING",
    stateReason: null,
    executionRoleArn: null,
    ingressNetworkConnectors: [connector("HTTP_INGRESS")],
    egressNetworkConnectors: [],
    idlePolicy: null,
    maximumDurationInSeconds: 1,
    runHookPayload: null,
    logging: null,
    startedAt: 0,
    suspendedAt: null,
    terminatedAt: null,
    vmmId: "v",
    ...changes,
  };
}

const token = (ports: PortGrant[] = [{ port: 8080 }], microvmId = "microvm-1") =>
  tokens.mint({ microvmId, ports, expiresAt: 1000 });

async function decide(
  request: Partial<AdmissionRequest> & { readonly authority?: string | undefined },
  found: MicrovmRecord | undefined = record(),
) {
  const traffic = {
    findById: (id: string) => Promise.resolve(found?.microvmId === id ? found : undefined),
  };
  const { authority, ...given } = { authority: HOST, ...request };
  const whole = {
    host: parseRequestHost(authority, ["localhost"]),
    ...{ token: undefined, port: undefined, subprotocols: NO_SUBPROTOCOLS },
    ...given,
  };
  return admit({ traffic, tokens }, whole, { refusedPorts: new Set([1023]) });
}

test("admit passes a good token for the host's microVM to the default port", async () => {
  const admitted = { kind: "admitted", record: record(), port: 8080 };
  assert.deepEqual(await decide({ token: await token() }), admitted);
  assert.deepEqual(await decide({ token: await token(), authority: "localhost:7443" }), admitted);
});

test("admit takes the port from the header, then the sub-protocol", async () => {
  const subprotocols = { ...NO_SUBPROTOCOLS, hasMarker: true, port: "9001" };
  const all = await token([{ allPorts: {} }]);
  const byHeader = await decide({ token: all, port: "9000", subprotocols });
  const byProtocol = await decide({ token: all, subprotocols });
  assert.deepEqual(
    [byHeader, byProtocol].map((result) => result.kind === "admitted" && result.port),
    [9000, 9001],
  );
});

test("admit finds authentication missing without a token or with what is none", async () => {
  assert.equal(await decide({}), REFUSALS.missingAuthentication);
  assert.equal(await decide({ token: "" }), REFUSALS.missingAuthentication);
  assert.equal(await decide({ token: "Bearer x" }), REFUSALS.missingAuthentication);
  assert.equal(
    await decide({ token: `${await token()}, ${await token()}` }),
    REFUSALS.missingAuthentication,
  );
});

test("admit answers alike for a foreign token, another microVM, an unknown host and an unknown microVM", async () => {
  const good = await token();
  const forged = `${good.slice(0, -22)}${"A".repeat(22)}`;
  const other = HOST.replace("7b", "8b");
  assert.equal(await decide({ token: forged }), REFUSALS.tokenFailed);
  assert.equal(await decide({ token: good, authority: other }), REFUSALS.tokenFailed);
  assert.equal(
    await decide({ token: good, authority: HOST.replace("eu-west-1", "eu-west-2") }),
    REFUSALS.tokenFailed,
  );
  assert.equal(await decide({ token: good, authority: "example.com" }), REFUSALS.tokenFailed);
  assert.equal(await decide({ token: good, authority: undefined }), REFUSALS.tokenFailed);
  assert.equal(
    await decide({ token: await token([{ port: 8080 }], "microvm-2") }),
    REFUSALS.tokenFailed,
  );
});

test("admit checks the token before the port", async () => {
  const good = await token();
  assert.equal(await decide({ token: undefined, port: "x" }), REFUSALS.missingAuthentication);
  assert.equal(
    await decide({ token: good, authority: "example.com", port: "x" }),
    REFUSALS.tokenFailed,
  );
  const invalid = await decide({ token: good, port: "x" });
  assert.equal(invalid.kind === "refused" && invalid.status, 400);
  assert.equal(await decide({ token: good, port: "8081" }), REFUSALS.portDenied);
});

test("admit treats the agent's port as closed once the token grants it", async () => {
  assert.equal(await decide({ token: await token(), port: "1023" }), REFUSALS.portDenied);
  assert.equal(
    await decide({ token: await token([{ allPorts: {} }]), port: "1023" }),
    REFUSALS.appConnectFailed,
  );
});

test("admit lets traffic in by HTTP_INGRESS or ALL_INGRESS only", async () => {
  const cases: [string[], boolean][] = [
    [["HTTP_INGRESS"], true],
    [["ALL_INGRESS"], true],
    [["SHELL_INGRESS", "HTTP_INGRESS"], true],
    [["NO_INGRESS"], false],
    [["SHELL_INGRESS"], false],
    [[], false],
  ];
  for (const [names, isOpen] of cases) {
    const found = record({ ingressNetworkConnectors: names.map(connector) });
    const result = await decide({ token: await token() }, found);
    assert.equal(result.kind === "admitted", isOpen, names.join());
    if (!isOpen) assert.equal(result, REFUSALS.tokenFailed);
  }
});

test("admit tells the bearer of a shell token from one who may reach ports", async () => {
  const shell = await tokens.mint({ microvmId: "microvm-1", shell: true, expiresAt: 1000 });
  const both = [connector("HTTP_INGRESS"), connector("SHELL_INGRESS")];
  const withShell = record({ ingressNetworkConnectors: both });
  const admitted = { kind: "shell", record: withShell };
  assert.deepEqual(await decide({ token: shell }, withShell), admitted);
  assert.deepEqual(await decide({ token: shell, port: "8080" }, withShell), admitted);
  assert.equal(await decide({ token: shell }), REFUSALS.tokenFailed);
  assert.equal(
    await decide({ token: shell, authority: "example.com" }, withShell),
    REFUSALS.tokenFailed,
  );
});
