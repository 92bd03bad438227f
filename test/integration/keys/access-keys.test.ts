// Access keys on a real disk, as `torpor keys` writes them and a running service reads them.

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  createAccessKey,
  deleteAccessKey,
  findAccessKeys,
  listAccessKeys,
  RECHECK_MS,
} from "../../../src/keys/access-keys.ts";
import { findKeyIn } from "../../../src/keys/keys.ts";
import { createLog } from "../../../src/lib/log.ts";

const ACCOUNT = "111122223333";

let directory: string;
let now: number;
let logged: string[];
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "torpor-access-keys-"));
  now = 1_000_000;
  logged = [];
});
afterEach(() => rm(directory, { recursive: true }));

const find = () =>
  findAccessKeys(
    { log: createLog("debug", (line) => void logged.push(line)), now: () => now },
    directory,
  );

describe("access keys", () => {
  it("are made for an account, readable by their owner alone, and listed without drafts", async () => {
    const first = await createAccessKey(directory, ACCOUNT, 2);
    const older = await createAccessKey(directory, ACCOUNT, 1);
    const other = await createAccessKey(directory, "000000000001", 3);
    assert.match(first.accessKeyId, /^AKIA[A-Z2-7]{16}$/);
    assert.match(first.secretAccessKey, /^[A-Za-z0-9+/]{40}$/);
    const folder = path.join(directory, "access");
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    const file = path.join(folder, `${first.accessKeyId}.json`);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await writeFile(`${file}.1.abc.tmp`, "half");
    assert.deepEqual(await listAccessKeys(directory), [other, older, first]);
    assert.equal((await readdir(folder)).length, 4);
  });

  it("are none where none were made", async () => {
    assert.deepEqual(await listAccessKeys(directory), []);
    assert.equal(find()("AKIAAAAAAAAAAAAAAAAA"), undefined);
  });

  it("count for a service that runs already, and end for it within a second", async () => {
    const findKey = find();
    const { accessKeyId, secretAccessKey } = await createAccessKey(directory, ACCOUNT, now);
    assert.deepEqual(findKey(accessKeyId), { secretAccessKey, account: ACCOUNT });
    await deleteAccessKey(directory, accessKeyId);
    now += RECHECK_MS;
    assert.equal(findKey(accessKeyId), undefined);
    await assert.rejects(deleteAccessKey(directory, accessKeyId), { code: "NOT_FOUND" });
    assert.deepEqual(logged, []);
  });

  it("that are gone do not live on when the clock is set back", async () => {
    const findKey = find();
    const { accessKeyId } = await createAccessKey(directory, ACCOUNT, now);
    assert.ok(findKey(accessKeyId));
    await deleteAccessKey(directory, accessKeyId);
    now -= 1;
    assert.equal(findKey(accessKeyId), undefined);
  });

  it("are never paths", async () => {
    await createAccessKey(directory, ACCOUNT, now);
    await writeFile(path.join(directory, "root.json"), "{}");
    for (const id of ["../root", "", "__proto__", "AKIA/../../root", "akiaaaaaaaaaaaaaaaaa"]) {
      assert.equal(find()(id), undefined);
      await assert.rejects(deleteAccessKey(directory, id), { code: "NOT_FOUND" });
    }
    assert.deepEqual(logged, []);
  });

  it("that are damaged or renamed stand for nobody and say so without their secret", async () => {
    const { accessKeyId, secretAccessKey } = await createAccessKey(directory, ACCOUNT, now);
    const renamed = "AKIAAAAAAAAAAAAAAAAA";
    const file = (id: string) => path.join(directory, "access", `${id}.json`);
    await writeFile(file(renamed), JSON.stringify({ version: 1, accessKeyId, secretAccessKey }));
    await writeFile(file(accessKeyId), `{"version":1,"secretAccessKey":"${secretAccessKey}"`);
    for (const id of [accessKeyId, renamed]) assert.equal(find()(id), undefined);
    assert.equal(logged.length, 2);
    assert.ok(logged.every((line) => line.includes("damaged") && !line.includes(secretAccessKey)));
    await assert.rejects(listAccessKeys(directory), (error: Error) => {
      assert.match(error.message, /damaged/);
      return !`${error.message} ${String(error.cause)}`.includes(secretAccessKey);
    });
  });

  it("are asked for one after the other", () => {
    const key = { secretAccessKey: "s", account: ACCOUNT };
    const findKey = findKeyIn(
      (id) => (id === "a" ? key : undefined),
      (id) => (id === "b" ? { ...key, account: "b" } : undefined),
    );
    assert.deepEqual(
      ["a", "b", "c"].map((id) => findKey(id)?.account),
      [ACCOUNT, "b", undefined],
    );
  });
});
