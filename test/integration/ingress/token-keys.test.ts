import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { createTokens } from "../../../src/tokens/jwe-tokens.ts";
import { KEY_LIFETIME_MS, openTokenKeys, rotateTokenKeys } from "../../../src/tokens/keys.ts";
import { keepRotating } from "../../../src/tokens/rotation.ts";
import { createLog, silentLog } from "../../../src/lib/log.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";

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

const HOUR_MS = 60 * 60 * 1000;

test("rotateTokenKeys puts a new key first when it is due, and forgets the old one when its tokens have ended", async () => {
  const keysDirectory = path.join(root, "rotated", "keys");
  let time = deps.now();
  const clock = { now: () => time };
  const kids = async () => (await openTokenKeys(clock, keysDirectory)).map(({ kid }) => kid);
  const [first] = await kids();
  time += KEY_LIFETIME_MS - 1;
  assert.equal(await rotateTokenKeys(clock, keysDirectory), undefined);
  time += 1;
  const rotated = (await rotateTokenKeys(clock, keysDirectory)) ?? assert.fail();
  assert.equal(rotated.length, 2);
  assert.equal(rotated[1]?.kid, first);
  assert.deepEqual(
    await kids(),
    rotated.map(({ kid }) => kid),
  );
  time += HOUR_MS;
  assert.equal(await rotateTokenKeys(clock, keysDirectory), undefined);
  time += HOUR_MS;
  const left = (await rotateTokenKeys(clock, keysDirectory)) ?? assert.fail();
  assert.deepEqual(
    left.map(({ kid }) => kid),
    [rotated[0]?.kid],
  );
  assert.deepEqual(await kids(), [rotated[0]?.kid]);
});

test("a running service rotates its keys, and live tokens go on", async () => {
  const keysDirectory = path.join(root, "running", "keys");
  const clock = createFakeClock();
  const tokens = createTokens({
    now: clock.now,
    keys: await openTokenKeys(clock, keysDirectory),
  });
  clock.advance(KEY_LIFETIME_MS - HOUR_MS / 2);
  const stop = new AbortController();
  const rotation = keepRotating({ tokens, clock, log: silentLog() }, keysDirectory, stop.signal);
  const token = await tokens.mint({ ...claims, expiresAt: clock.now() + HOUR_MS });
  await rotated(clock, keysDirectory, 2);
  assert.notEqual(
    kidOf(await tokens.mint({ ...claims, expiresAt: clock.now() + 1 })),
    kidOf(token),
  );
  // The clock is an hour on, which is when the token ends; a moment before it is still good.
  clock.advance(-1);
  assert.equal((await tokens.open(token))?.microvmId, claims.microvmId);
  for (const count of [2, 2, 1]) await rotated(clock, keysDirectory, count);
  stop.abort();
  await rotation;
  assert.equal(clock.pendingTimers(), 0);
});

test("a rotation that cannot be written leaves the keys in use", async () => {
  const keysDirectory = path.join(root, "broken", "keys");
  const clock = createFakeClock();
  const tokens = createTokens({ now: clock.now, keys: await openTokenKeys(clock, keysDirectory) });
  const token = await tokens.mint({ ...claims, expiresAt: clock.now() + 1 });
  await writeFile(path.join(keysDirectory, "tokens.json"), "damaged");
  const lines: string[] = [];
  const log = createLog("info", (line) => void lines.push(line));
  const stop = new AbortController();
  const rotation = keepRotating({ tokens, clock, log }, keysDirectory, stop.signal);
  while (lines.length === 0) await new Promise(setImmediate);
  stop.abort();
  await rotation;
  assert.match(lines.join(""), /Cannot rotate the token keys/);
  assert.equal((await tokens.open(token))?.microvmId, claims.microvmId);
});

function kidOf(token: string): string {
  const [header = ""] = token.split(".");
  const { kid } = JSON.parse(Buffer.from(header, "base64url").toString()) as { kid: string };
  return kid;
}

/** Lets the loop look once more, an hour on, and waits until the file holds so many keys. */
async function rotated(
  clock: ReturnType<typeof createFakeClock>,
  keysDirectory: string,
  count: number,
): Promise<void> {
  while (clock.pendingTimers() === 0) await new Promise(setImmediate);
  clock.advance(HOUR_MS);
  while (clock.pendingTimers() === 0) await new Promise(setImmediate);
  assert.equal((await openTokenKeys(clock, keysDirectory)).length, count);
}
