// The limits of an endpoint come from the image version that its microVM was made from.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { limitsBySize, limitsOfSize } from "../../../src/ingress/limits.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import { someImage, someMicrovm } from "../../fixtures/domain-records.ts";

test("the size class of a microVM's image version sets the limits of its endpoint", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-limits-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true }));
  const store = stack.use(await openSqliteStore(path.join(directory, "torpor.db")));
  for (const [imageName, memoryMiB] of [
    ["small", 512],
    ["large", 8192],
  ] as const) {
    const { image, version } = someImage(imageName);
    const configuration = { ...version.configuration, memoryMiB };
    await store.images.create({ image, version: { ...version, configuration } }, null);
  }
  const limitsOf = (imageName: string) =>
    limitsBySize(store.images, someMicrovm({ imageName, imageVersion: "1.0" }));
  assert.deepEqual(await limitsOf("small"), limitsOfSize({ vcpus: 1 }));
  assert.deepEqual(await limitsOf("large"), limitsOfSize({ vcpus: 16 }));
  // A version that is gone by now: the service's default size.
  assert.deepEqual(await limitsOf("gone"), limitsOfSize({ vcpus: 4 }));
});
