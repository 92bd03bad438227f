import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointAuthority, parseRequestHost } from "../../../src/ingress/hostname.ts";

const ID = "7b0e7c57-64b6-4a3e-8f52-a1b2c3d4e5f6";
const HOST = `${ID}.lambda-microvm.eu-west-1.localhost`;

test("parseRequestHost reads endpoint hosts with or without port, in any case, rooted or not", () => {
  const endpoint = { kind: "endpoint", endpointId: ID, region: "eu-west-1" };
  for (const host of [HOST, `${HOST}:7443`, HOST.toUpperCase(), `${HOST}.`, `${HOST}.:1`]) {
    assert.deepEqual(parseRequestHost(host, ["localhost"]), endpoint, host);
  }
});

test("parseRequestHost knows the loopback names", () => {
  for (const host of [
    "localhost",
    "LOCALHOST:7443",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]",
    "[::1]:7443",
  ]) {
    assert.deepEqual(parseRequestHost(host, ["localhost"]), { kind: "loopback" }, host);
  }
});

test("parseRequestHost leaves everything else unknown", () => {
  const cases = [
    undefined,
    "",
    "example.com",
    "127.0.0.2",
    "::1",
    "localhost:x",
    "localhost:123456",
    "user@localhost",
    "localhost/path",
    `x${HOST}`,
    `a.${HOST}`,
    `${HOST}.example.com`,
    `${ID}.lambda-microvm.localhost`,
    `microvm-${HOST}`,
    `${HOST} ${HOST}`,
  ];
  for (const host of cases)
    assert.deepEqual(parseRequestHost(host, ["localhost"]), { kind: "unknown" }, host);
});

test("parseRequestHost takes endpoints under the domains it is given alone", () => {
  const under = (domain: string) => `${ID}.lambda-microvm.eu-west-1.${domain}`;
  const domains = ["localhost", "vms.example.com"];
  const endpoint = { kind: "endpoint", endpointId: ID, region: "eu-west-1" };
  for (const domain of domains)
    assert.deepEqual(parseRequestHost(under(domain), domains), endpoint, domain);
  for (const domain of ["example.com", "a.vms.example.com", "xvms.example.com", "vms.example.org"])
    assert.deepEqual(parseRequestHost(under(domain), domains), { kind: "unknown" }, domain);
});

test("endpointAuthority names the port unless it is that of HTTPS, and is read back", () => {
  assert.equal(endpointAuthority("localhost", 7443)("a"), "lambda-microvm.a.localhost:7443");
  assert.equal(endpointAuthority("example.com", 443)("a"), "lambda-microvm.a.example.com");
  const host = `${ID}.${endpointAuthority("example.com", 8443)("eu-west-1")}`;
  assert.equal(parseRequestHost(host, ["example.com"]).kind, "endpoint");
});
