// Anybody may name an access key; one whose file is damaged must not let them fill the log.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { createAccessKey, findAccessKeys, RECHECK_MS } from "../../../src/keys/access-keys.ts";
import { createLog } from "../../../src/lib/log.ts";

test("a damaged key is complained of once in a while, however often it is named", async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-damaged-key-"));
  t.after(() => rm(directory, { recursive: true }));
  const {
    accessKeyId,
    createdAt: _,
    ...pair
  } = await createAccessKey(directory, "1".repeat(12), 1);
  const file = path.join(directory, "access", `${accessKeyId}.json`);
  await writeFile(file, "{");
  const logged: string[] = [];
  let now = 1_000_000;
  const log = createLog("info", (line) => void logged.push(line));
  const findKey = findAccessKeys({ log, now: () => now }, directory);
  for (let count = 0; count < 100; count++) assert.equal(findKey(accessKeyId), undefined);
  assert.equal(logged.length, 1);
  await writeFile(file, JSON.stringify({ version: 1, accessKeyId, createdAt: 1, ...pair }));
  now += RECHECK_MS;
  assert.equal(findKey(accessKeyId)?.secretAccessKey, pair.secretAccessKey);
});
