import assert from "node:assert/strict";
import { test } from "node:test";
import { generateKeys, serverCertificate } from "../../../src/tls/certificate.ts";
import { createTlsContexts } from "../../../src/tls/contexts.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const START = Date.UTC(2026, 0, 1);

/** An authority that counts what it issues, with 30 days of validity from its clock. */
function setUp() {
  const clock = { now: START };
  const issuer = { commonName: "test authority", keys: generateKeys() };
  const issued: string[] = [];
  const issue = (region: string) => {
    issued.push(region);
    const keys = generateKeys();
    const notAfter = clock.now + 30 * DAY_MS;
    const cert = serverCertificate(issuer, keys.publicKey, {
      commonName: "server",
      notBefore: clock.now,
      notAfter,
      dnsNames: [`*.lambda-microvm.${region}.localhost`],
      addresses: [],
    });
    const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    return { key, cert, notAfter };
  };
  const contexts = createTlsContexts({ authority: { issue }, now: () => clock.now }, "us-east-1");
  return { clock, contexts, issued };
}

test("forServerName makes one certificate a region and keeps it", () => {
  const { contexts, issued } = setUp();
  const first = contexts.forServerName("a.lambda-microvm.eu-west-1.localhost");
  assert.equal(contexts.forServerName("B.Lambda-Microvm.EU-WEST-1.localhost"), first);
  assert.notEqual(contexts.forServerName("a.lambda-microvm.eu-west-2.localhost"), first);
  assert.deepEqual(issued, ["us-east-1", "eu-west-1", "eu-west-2"]);
});

test("forServerName gives other names the default region's certificate", () => {
  const { contexts, issued } = setUp();
  const shared = contexts.forServerName("localhost");
  for (const name of ["example.com", "a.lambda-microvm.us-east-1.localhost", "a.b_c.localhost"]) {
    assert.equal(contexts.forServerName(name), shared, name);
  }
  assert.equal(contexts.forServerName(`a.lambda-microvm.${"x".repeat(33)}.localhost`), shared);
  assert.deepEqual(issued, ["us-east-1"]);
});

test("forServerName keeps a bounded number of regions", () => {
  const { contexts, issued } = setUp();
  const name = (index: number) => `a.lambda-microvm.r${index}.localhost`;
  for (let index = 0; index < 33; index += 1) contexts.forServerName(name(index));
  const before = issued.length;
  contexts.forServerName(name(32));
  assert.equal(issued.length, before, "the newest is kept");
  contexts.forServerName(name(0));
  assert.equal(issued.length, before + 1, "the oldest was dropped");
});

test("certificates are renewed when a third of their life is left", () => {
  const { clock, contexts } = setUp();
  const name = "a.lambda-microvm.eu-west-1.localhost";
  const region = contexts.forServerName(name);
  const fallback = contexts.defaultCredentials();
  clock.now += 19 * DAY_MS;
  assert.equal(contexts.forServerName(name), region);
  assert.equal(contexts.defaultCredentials(), fallback);
  clock.now += 2 * DAY_MS;
  assert.notEqual(contexts.forServerName(name), region);
  assert.notEqual(contexts.defaultCredentials(), fallback);
});
