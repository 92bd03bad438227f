// The ingress's certificates before the TLS clients people use. Each refuses what it is not told to trust.

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { runCommand } from "../../../src/lib/command.ts";
import {
  authorityCertificate,
  generateKeys,
  serverCertificate,
} from "../../../src/tls/certificate.ts";
import { ENDPOINT_ID, fetchOnce, type Harness, startHarness } from "../ingress/harness.ts";

let harness: Harness;
let environment: Record<string, string>;
before(async () => {
  harness = await startHarness();
  environment = { ...(process.env as Record<string, string>), ...(await harness.credentials()) };
});
after(() => harness[Symbol.asyncDispose]());

const run = (program: string, args: string[], env: Record<string, string> = {}) =>
  runCommand(program, args, { env: { ...environment, ...env } }, AbortSignal.timeout(10_000));

const endpointHost = (region: string) => `${ENDPOINT_ID}.lambda-microvm.${region}.localhost`;
const beside = (name: string) => path.join(path.dirname(harness.caFile), name);

test("openssl verifies chain, purpose and names, strictly", async () => {
  const socket = connect({
    ...harness.ingress.address,
    servername: endpointHost("eu-west-3"),
    ca: harness.caCertificate,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve()).once("error", reject);
  });
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  const file = beside("server.pem");
  await writeFile(
    file,
    `-----BEGIN CERTIFICATE-----\n${raw.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`,
  );
  const verify = (...args: string[]) =>
    run("openssl", [
      "verify",
      "-x509_strict",
      "-purpose",
      "sslserver",
      "-CAfile",
      harness.caFile,
      ...args,
      file,
    ]);
  for (const name of [endpointHost("eu-west-3"), "localhost"]) {
    assert.match(await verify("-verify_hostname", name), /: OK/);
  }
  for (const address of ["127.0.0.1", "::1"]) {
    assert.match(await verify("-verify_ip", address), /: OK/);
  }
  await assert.rejects(verify("-verify_hostname", endpointHost("eu-west-1")));
});

test("openssl refuses a certificate of the authority for a name outside localhost", async () => {
  const keys = generateKeys();
  const issuer = { commonName: "constrained", keys };
  const validity = { notBefore: Date.now() - 1000, notAfter: Date.now() + 60_000 };
  const permitted = {
    dnsNames: ["localhost"],
    ranges: [{ address: "127.0.0.0", prefixLength: 8 }],
  };
  const ca = beside("constrained-ca.pem");
  await writeFile(
    ca,
    authorityCertificate(keys, { commonName: issuer.commonName, permitted, ...validity }),
  );
  const verify = async (dnsNames: string[], addresses: string[]) => {
    const file = beside("constrained.pem");
    const profile = { commonName: "server", dnsNames, addresses, ...validity };
    await writeFile(file, serverCertificate(issuer, generateKeys().publicKey, profile));
    return run("openssl", ["verify", "-CAfile", ca, file]);
  };
  assert.match(await verify(["a.b.localhost"], ["127.9.9.9"]), /: OK/);
  await assert.rejects(verify(["example.com"], []));
  await assert.rejects(verify([], ["8.8.8.8"]));
});

test("node accepts every name, and refuses without the authority", async () => {
  const headers = await harness.credentials();
  for (const servername of [
    endpointHost("us-east-1"),
    endpointHost("ap-northeast-1"),
    "localhost",
  ]) {
    assert.equal((await fetchOnce(harness, { servername, headers })).status, 200, servername);
  }
  await assert.rejects(fetchOnce(harness, { ca: undefined, headers }), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
});

test("node's fetch accepts an address with NODE_EXTRA_CA_CERTS", async () => {
  const { port } = harness.ingress.address;
  const program = `fetch("https://127.0.0.1:${port}/", { headers: {
    "x-aws-proxy-auth": process.env["x-aws-proxy-auth"], "x-aws-proxy-port": process.env["x-aws-proxy-port"] } })
    .then(async (reply) => console.log(reply.status, await reply.text()))`;
  const output = await run(process.execPath, ["-e", program], {
    NODE_EXTRA_CA_CERTS: harness.caFile,
  });
  assert.equal(output.trim(), "200 hello");
});

test("curl accepts endpoint, localhost and address with --cacert, and refuses without", async () => {
  const { port } = harness.ingress.address;
  const headers = Object.entries(await harness.credentials()).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const get = (host: string, ...args: string[]) =>
    run("curl", [
      "-sS",
      "--resolve",
      `*:${port}:127.0.0.1`,
      ...headers,
      ...args,
      `https://${host}:${port}/`,
    ]);
  for (const host of [endpointHost("us-east-1"), "localhost", "127.0.0.1"]) {
    assert.equal(await get(host, "--cacert", harness.caFile), "hello", host);
  }
  assert.equal(await get("localhost", "--cacert", harness.caFile, "--tls-max", "1.2"), "hello");
  await assert.rejects(get("localhost"));
});

test("python accepts endpoint and address with its strict checks on", async () => {
  const program = `
import os, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
for name in sys.argv[3:]:
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as plain:
        with context.wrap_socket(plain, server_hostname=name) as wrapped:
            print(name, wrapped.version())
`;
  const names = [endpointHost("us-east-1"), "localhost", "127.0.0.1"];
  const port = String(harness.ingress.address.port);
  const output = await run("python3", ["-c", program, harness.caFile, port, ...names]);
  assert.deepEqual(
    output.trim().split("\n"),
    names.map((name) => `${name} TLSv1.3`),
  );
});

test("TLS below 1.2 is refused", async () => {
  const { port } = harness.ingress.address;
  await assert.rejects(
    run("curl", [
      "-sS",
      "--cacert",
      harness.caFile,
      "--tls-max",
      "1.1",
      `https://localhost:${port}/`,
    ]),
  );
});

test("a client that offers no protocol of ours is told so in the hand-shake, one that offers HTTP/2 gets it", async () => {
  const offer = (protocol: string) =>
    connect({
      ...harness.ingress.address,
      ca: harness.caCertificate,
      servername: "localhost",
      ALPNProtocols: [protocol],
    });
  const stranger = offer("spdy/3");
  await assert.rejects(
    new Promise((resolve, reject) => stranger.once("secureConnect", resolve).once("error", reject)),
    { code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL" },
  );
  const modern = offer("h2");
  await once(modern, "secureConnect");
  assert.equal(modern.alpnProtocol, "h2");
  modern.destroy();
});
