import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import {
  authorityCertificate,
  generateKeys,
  serverCertificate,
} from "../../../src/tls/certificate.ts";

const START = Date.UTC(2026, 0, 1);
const END = Date.UTC(2036, 0, 1);

function makeChain() {
  const issuer = { commonName: "test authority", keys: generateKeys() };
  const permitted = { dnsNames: ["localhost"], ranges: [{ address: "::1", prefixLength: 128 }] };
  const validity = { notBefore: START, notAfter: END };
  const authority = new X509Certificate(
    authorityCertificate(issuer.keys, { commonName: issuer.commonName, permitted, ...validity }),
  );
  const server = new X509Certificate(
    serverCertificate(issuer, generateKeys().publicKey, {
      commonName: "test server",
      dnsNames: ["*.lambda-microvm.eu-west-1.localhost", "localhost"],
      addresses: ["127.0.0.1", "::1", "2001:db8::a:1"],
      ...validity,
    }),
  );
  return { authority, server };
}

test("authorityCertificate signs itself and may issue", () => {
  const { authority } = makeChain();
  assert.equal(authority.ca, true);
  assert.ok(authority.verify(authority.publicKey));
  assert.equal(authority.subject, authority.issuer);
  assert.equal(authority.validFromDate.getTime(), START);
  assert.equal(authority.validToDate.getTime(), END);
});

test("serverCertificate is issued by the authority and may not issue", () => {
  const { authority, server } = makeChain();
  assert.equal(server.ca, false);
  assert.ok(server.verify(authority.publicKey));
  assert.ok(server.checkIssued(authority));
  assert.deepEqual(server.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
});

test("serverCertificate carries its names and addresses, one label for the wildcard", () => {
  const { server } = makeChain();
  assert.ok(server.checkHost("abc.lambda-microvm.eu-west-1.localhost"));
  assert.ok(server.checkHost("localhost"));
  assert.equal(server.checkHost("a.b.lambda-microvm.eu-west-1.localhost"), undefined);
  assert.equal(server.checkHost("abc.lambda-microvm.us-east-1.localhost"), undefined);
  for (const address of ["127.0.0.1", "::1", "2001:db8::a:1"]) assert.ok(server.checkIP(address));
  assert.equal(server.checkIP("127.0.0.2"), undefined);
});

test("serial numbers differ between certificates", () => {
  const { authority, server } = makeChain();
  assert.notEqual(authority.serialNumber, server.serialNumber);
});
