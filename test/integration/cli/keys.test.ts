// `torpor keys` and `torpor env --account` as processes, over a data directory on which a service has run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { makePrivateDirectory } from "../../../src/lib/files.ts";

const MAIN = path.resolve(import.meta.dirname, "../../../src/main.ts");
const ACCOUNT = "111122223333";

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), "torpor-cli-keys-"));
  await makePrivateDirectory(path.join(dataDir, "keys"));
  // What tells that a service has run is its authority.
  await writeFile(path.join(dataDir, "keys", "ca.pem"), "authority");
});
afterEach(() => rm(dataDir, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function torpor(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args, "--data-dir", dataDir], (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr }),
    );
  });
}

async function succeeding<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await torpor(...args);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
}

type Made = Record<"accessKeyId" | "secretAccessKey" | "account", string>;

describe("torpor keys", () => {
  it("makes keys that torpor env hands out, lists them without secrets and ends them", async () => {
    await succeeding<Made>("keys", "create", "--account", ACCOUNT, "--json");
    const newest = await succeeding<Made>("keys", "create", "--account", ACCOUNT, "--json");
    const environment = () =>
      succeeding<Record<string, string>>("env", "--account", ACCOUNT, "--json");
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ACCOUNT_ID } = await environment();
    assert.deepEqual(
      [AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ACCOUNT_ID],
      [newest.accessKeyId, newest.secretAccessKey, ACCOUNT],
    );
    const listed = await torpor("keys", "list");
    assert.match(listed.stdout, new RegExp(`^000000000000  AKIA[A-Z2-7]{16}  root key$`, "m"));
    assert.match(listed.stdout, new RegExp(`^${ACCOUNT}  ${newest.accessKeyId}  20`, "m"));
    assert.ok(!listed.stdout.includes(newest.secretAccessKey));
    assert.equal((await succeeding<Made[]>("keys", "list", "--json")).length, 3);
    assert.equal((await torpor("keys", "delete", newest.accessKeyId)).code, 0);
    assert.notEqual((await environment())["AWS_ACCESS_KEY_ID"], newest.accessKeyId);
  });

  it("hands out the root key of the configured account", async () => {
    const plain = await succeeding<Record<string, string>>("env", "--json");
    const named = await succeeding<unknown>("env", "--json", "--account", "000000000000");
    assert.deepEqual(named, plain);
    assert.equal(plain["AWS_ACCOUNT_ID"], "000000000000");
  });

  it("refuses what it cannot do, and env ends a script that evaluates it", async () => {
    const refusals: [string[], RegExp][] = [
      [["keys"], /an action is missing/],
      [["keys", "rotate"], /there is no action "rotate"/],
      [["keys", "create"], /create takes --account ID alone/],
      [["keys", "create", "--account", "123"], /"123" is no account/],
      [["keys", "list", "all"], /list takes nothing more/],
      [["keys", "delete"], /delete takes one access key id/],
    ];
    for (const [args, message] of refusals) {
      const { code, stderr } = await torpor(...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
    const missing = await torpor("keys", "delete", "AKIAAAAAAAAAAAAAAAAA");
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /There is no access key "AKIAAAAAAAAAAAAAAAAA"/);
    const nobody = await torpor("env", "--account", ACCOUNT);
    assert.deepEqual([nobody.code, nobody.stdout], [1, "false\n"]);
    assert.match(nobody.stderr, /Account 111122223333 has no access key; make one with/);
  });
});
