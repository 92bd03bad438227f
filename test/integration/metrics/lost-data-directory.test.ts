// What probes say when the file system of the data directory has gone from under the service.

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { createInstruments } from "../../../src/metrics/metrics.ts";
import { createProbes } from "../../../src/metrics/probes.ts";
import { send, startHarness } from "../api/harness.ts";

test("a lost data directory makes the service unready, and leaves metrics and the log alone", async () => {
  const probes = createProbes({
    instruments: createInstruments("1.2.3"),
    dataDir: path.join(tmpdir(), "torpor-was-never-here"),
    allow: ["127.0.0.0/8"],
    stopping: new AbortController().signal,
    slots: { usage: () => ({ leased: 0, ready: 0 }) },
    countConnections: () => 0,
    askStore: async () => undefined,
  });
  await using harness = await startHarness({ probes });
  const get = (target: string) => send(harness.port, { method: "GET", path: target });
  const ready = await get("/ready");
  assert.equal(ready.status, 503);
  assert.match(ready.body, /data directory cannot be reached/);
  assert.equal((await get("/metrics")).status, 200);
  assert.ok(!harness.logged.some((line) => line.includes('"level":"error"')));
});
