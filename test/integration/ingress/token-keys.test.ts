import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { createTokens } from "../../../src/tokens/jwe-tokens.ts";
import { openTokenKeys } from "../../../src/tokens/keys.ts";

let root: string;
before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "torpor-token-keys-"));
});
after(() => rm(root, { recursive: true }));

const deps = { now: () => 1_790_000_000_000 };
const claims = { microvmId: "microvm-1", ports: [{ port: 1 }], expiresAt: deps.now() + 1000 };

test("openTokenKeys makes one secret key that opens its tokens after a restart", async () => {
  const keysDirectory = path.join(root, "new", "keys");
  const first = createTokens({ ...deps, keys: await openTokenKeys(deps, keysDirectory) });
  const second = createTokens({ ...deps, keys: await openTokenKeys(deps, keysDirectory) });
  assert.deepEqual(await second.open(await first.mint(claims)), claims);
  const file = path.join(keysDirectory, "tokens.json");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test("openTokenKeys reads several keys, newest first", async () => {
  const keysDirectory = path.join(root, "two", "keys");
  const old = createTokens({ ...deps, keys: await openTokenKeys(deps, keysDirectory) });
  const oldToken = await old.mint(claims);
  const file = path.join(keysDirectory, "tokens.json");
  const stored = JSON.parse(await readFile(file, "utf8")) as { version: 1; keys: object[] };
  const added = {
    kid: "6e1f3df3-2f6f-4f1b-8d7c-1a2b3c4d5e6f",
    secret: Buffer.alloc(32, 7).toString("base64url"),
    createdAt: deps.now(),
  };
  await writeFile(file, JSON.stringify({ ...stored, keys: [added, ...stored.keys] }));
  const keys = await openTokenKeys(deps, keysDirectory);
  const tokens = createTokens({ ...deps, keys });
  assert.deepEqual(await tokens.open(oldToken), claims);
  assert.equal(keys[0]?.kid, added.kid);
  assert.equal(await old.open(await tokens.mint(claims)), undefined);
});

test("openTokenKeys refuses a damaged file, leaves it and quotes nothing of it", async () => {
  const keysDirectory = path.join(root, "damaged", "keys");
  await openTokenKeys(deps, keysDirectory);
  const file = path.join(keysDirectory, "tokens.json");
  const good = await readFile(file, "utf8");
  const secret = /"secret": "(?<secret>[^"]+)"/.exec(good)?.groups?.secret ?? assert.fail();
  const damaged = [
    "",
    "{}",
    good.slice(0, -20),
    good.replace(secret, secret.slice(1)),
    good.replace('"version": 1', '"version": 2'),
  ];
  for (const text of damaged) {
    await writeFile(file, text);
    await assert.rejects(openTokenKeys(deps, keysDirectory), (error) => {
      assert.ok(isServiceError(error, "SETUP_FAILED"));
      assert.ok(!error.message.includes(secret.slice(5, 15)) && error.cause === undefined);
      return true;
    });
    assert.equal(await readFile(file, "utf8"), text);
  }
});
