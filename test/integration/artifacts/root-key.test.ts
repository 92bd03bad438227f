// The root key on a real disk.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { openRootKey } from "../../../src/keys/root-key.ts";

const ACCOUNT = "123456789012";

describe("openRootKey", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-root-key-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("makes a key once, readable by its owner alone", async () => {
    const keys = path.join(directory, "keys");
    const made = await openRootKey(keys, ACCOUNT);
    assert.match(made.accessKeyId, /^AKIA[A-Z2-7]{16}$/);
    assert.match(made.secretAccessKey, /^[A-Za-z0-9+/]{40}$/);
    const again = await openRootKey(keys, ACCOUNT);
    assert.equal(again.accessKeyId, made.accessKeyId);
    assert.equal(again.secretAccessKey, made.secretAccessKey);
    assert.equal((await stat(path.join(keys, "root.json"))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(keys), ["root.json"]);
  });

  it("finds its own id for its account and no other", async () => {
    const { accessKeyId, secretAccessKey, findKey } = await openRootKey(directory, ACCOUNT);
    assert.deepEqual(findKey(accessKeyId), { secretAccessKey, account: ACCOUNT });
    for (const id of ["", accessKeyId.toLowerCase(), `${accessKeyId} `, "__proto__"])
      assert.equal(findKey(id), undefined);
  });

  it("agrees on one key when several processes make it at once", async () => {
    const keys = await Promise.all(
      Array.from({ length: 8 }, () => openRootKey(directory, ACCOUNT)),
    );
    assert.equal(new Set(keys.map(({ secretAccessKey }) => secretAccessKey)).size, 1);
    assert.deepEqual(await readdir(directory), ["root.json"]);
  });

  it("makes another key for another data directory", async () => {
    const one = await openRootKey(path.join(directory, "one"), ACCOUNT);
    const two = await openRootKey(path.join(directory, "two"), ACCOUNT);
    assert.notEqual(one.accessKeyId, two.accessKeyId);
    assert.notEqual(one.secretAccessKey, two.secretAccessKey);
  });

  it("refuses a damaged file without touching or quoting it", async () => {
    const file = path.join(directory, "root.json");
    const secret = "x".repeat(40);
    for (const content of ["", "{", `{"version":1,"secretAccessKey":"${secret}"}`]) {
      await writeFile(file, content);
      await assert.rejects(openRootKey(directory, ACCOUNT), (error) => {
        assert.ok(isServiceError(error, "SETUP_FAILED"));
        assert.match(error.message, /damaged/);
        assert.equal(error.message.includes(secret) || error.cause !== undefined, false);
        return true;
      });
      assert.equal(await readFile(file, "utf8"), content);
    }
  });
});
