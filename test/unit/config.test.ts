import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ConfigInput, loadConfig } from "../../src/config.ts";

/** What a user may write: anything. */
function load(settings: Record<string, unknown>) {
  return loadConfig(undefined, settings as Partial<ConfigInput>);
}

describe("loadConfig", () => {
  test("gives every setting its default and freezes the result", () => {
    const config = load({});
    assert.deepEqual(config.listen, { host: "127.0.0.1", port: 7070 });
    assert.deepEqual(config.ingressListen, { host: "127.0.0.1", port: 7443 });
    assert.equal(config.dataDir, "/var/lib/torpor");
    assert.equal(config.accelerator, "auto");
    assert.deepEqual(config.slots, { cidr: "100.96.0.0/16", ready: 4, max: 1024 });
    assert.ok(Object.isFrozen(config));
  });

  test("reads IPv6 addresses and port 0", () => {
    assert.deepEqual(load({ listen: "[::1]:0" }).listen, { host: "::1", port: 0 });
  });

  test("names every bad setting, and unknown ones by name", () => {
    assert.throws(
      () => load({ listen: 3, accountId: "12", dataDirr: "x", slots: { cidr: "banana", redy: 1 } }),
      (error: Error) => {
        for (const part of [
          'listen: must be "host:port"',
          "accountId: must be twelve digits",
          "slots.cidr: must be a.b.c.d/n",
          'there is no setting "dataDirr"',
          'there is no setting "slots.redy"',
        ]) {
          assert.ok(error.message.includes(part), `${part} in: ${error.message}`);
        }
        return true;
      },
    );
  });

  test("refuses addresses that are none", () => {
    for (const listen of ["7070", "localhost", "a:b", "127.0.0.1:70700", "::1:80"]) {
      assert.throws(() => load({ listen }), /listen: /, listen);
    }
  });

  test("refuses a collector of traces that cannot be asked, and headers that cannot be sent", () => {
    const endpoint = "https://collector.example:4318/otlp";
    const headers = { authorization: "Bearer t" };
    const { traces } = load({ traces: { endpoint, headers, sampleRatio: 0.1 } });
    assert.deepEqual(traces, { endpoint, headers, sampleRatio: 0.1 });
    for (const [at, bad] of [
      ["endpoint", { endpoint: "127.0.0.1:4318" }],
      ["endpoint", { endpoint: "ftp://collector.example" }],
      ["headers", { headers: { "a b": "c" } }],
      ["headers", { headers: { a: "b\r\nc: d" } }],
      ["sampleRatio", { sampleRatio: 1.5 }],
    ] as const)
      assert.throws(() => load({ traces: bad }), new RegExp(`traces\\.${at}`), JSON.stringify(bad));
  });

  test("takes a switch or an absolute path for the access log", () => {
    for (const accessLog of [true, false, "/var/log/torpor/access.log"])
      assert.equal(load({ ingress: { accessLog } }).ingress.accessLog, accessLog);
    for (const accessLog of ["access.log", "", 1])
      assert.throws(() => load({ ingress: { accessLog } }), /ingress\.accessLog: must be true/);
  });

  test("ignores options that were not given", () => {
    assert.equal(load({ logLevel: undefined }).logLevel, "info");
  });
});
