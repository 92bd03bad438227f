// The cursor key on a real disk.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openCursor, sealCursor } from "../../../src/api/cursor.ts";
import { isServiceError } from "../../../src/errors.ts";
import { openCursorKey } from "../../../src/keys/cursor-key.ts";

describe("openCursorKey", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-cursor-key-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("makes a key once, readable by its owner alone", async () => {
    const keys = path.join(directory, "keys");
    const made = await openCursorKey(keys);
    assert.equal(made.symmetricKeySize, 32);
    assert.ok((await openCursorKey(keys)).equals(made));
    assert.deepEqual(await readdir(keys), ["cursors.json"]);
    assert.equal((await stat(path.join(keys, "cursors.json"))).mode & 0o777, 0o600);
    assert.ok(!(await openCursorKey(path.join(directory, "other"))).equals(made));
  });

  it("opens after a restart what it sealed before", async () => {
    const binding = {
      operation: "ListMicrovms",
      scope: { account: "000000000000", region: "us-east-1" },
      filter: {},
    };
    const sealed = sealCursor(await openCursorKey(directory), binding, "after") ?? "";
    assert.equal(openCursor(await openCursorKey(directory), binding, sealed), "after");
  });

  it("refuses a damaged file without touching or quoting it", async () => {
    const file = path.join(directory, "cursors.json");
    const secret = "x".repeat(42);
    for (const content of ["", "{", `{"version":1,"secret":"${secret}"}`]) {
      await writeFile(file, content);
      await assert.rejects(openCursorKey(directory), (error) => {
        assert.ok(isServiceError(error, "SETUP_FAILED"));
        assert.match(error.message, /damaged/);
        assert.equal(error.message.includes(secret) || error.cause !== undefined, false);
        return true;
      });
      assert.equal(await readFile(file, "utf8"), content);
    }
  });
});
