import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import { CompactEncrypt } from "jose";
import { isServiceError } from "../../../src/errors.ts";
import { createTokens, isTokenForm } from "../../../src/tokens/jwe-tokens.ts";
import type { TokenKey } from "../../../src/tokens/keys.ts";
import type { TokenClaims } from "../../../src/tokens/tokens.ts";

const NOW = 1_790_000_000_000;
const CLAIMS: TokenClaims = {
  microvmId: "microvm-0f4a1a6e-6ad2-3c4d-9e1f-0123456789ab",
  ports: [{ port: 8080 }, { range: { startPort: 9000, endPort: 9010 } }, { allPorts: {} }],
  expiresAt: NOW + 60_000,
};

async function makeKey(kid: string): Promise<TokenKey> {
  const algorithm = { name: "AES-GCM", length: 256 };
  const key = await webcrypto.subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]);
  return { kid, key };
}

const KEY = await makeKey("5d0f2cf2-1f5f-4f0b-9d6c-0a1b2c3d4e5f");
const OTHER_KEY = await makeKey("6e1f3df3-2f6f-4f1b-8d7c-1a2b3c4d5e6f");

function tokensAt(now: number, ...keys: TokenKey[]) {
  return createTokens({ keys, now: () => now });
}

async function sealed(header: Record<string, string>, key: TokenKey, payload: unknown) {
  return new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader(header as { alg: string; enc: string })
    .encrypt(key.key);
}

test("mint makes a five-segment JWE whose header is kid, alg, enc in that order and nothing else", async () => {
  const token = await tokensAt(NOW, KEY).mint(CLAIMS);
  const segments = token.split(".");
  assert.equal(segments.length, 5);
  assert.equal(segments[1], "");
  assert.equal(
    Buffer.from(segments[0] ?? "", "base64url").toString(),
    `{"kid":"${KEY.kid}","alg":"dir","enc":"A256GCM"}`,
  );
});

test("mint pads tokens to one usual length", async () => {
  const tokens = tokensAt(NOW, KEY);
  const short = await tokens.mint({ ...CLAIMS, ports: [{ port: 1 }] });
  const long = await tokens.mint(CLAIMS);
  assert.equal(short.length, long.length);
  assert.ok(long.length >= 767 && long.length <= 868, `length ${long.length}`);
});

test("mint never seals the same claims to the same text twice", async () => {
  const tokens = tokensAt(NOW, KEY);
  assert.notEqual(await tokens.mint(CLAIMS), await tokens.mint(CLAIMS));
});

test("mint rejects claims that live over 60 minutes or do not fit", async () => {
  const tokens = tokensAt(NOW, KEY);
  const invalid = (error: unknown) => isServiceError(error, "VALIDATION_FAILED");
  await tokens.mint({ ...CLAIMS, expiresAt: NOW + 3_600_000 });
  await assert.rejects(tokens.mint({ ...CLAIMS, expiresAt: NOW + 3_600_001 }), invalid);
  const ports = Array.from({ length: 1000 }, (_, index) => ({ port: index + 1 }));
  await assert.rejects(tokens.mint({ ...CLAIMS, ports }), invalid);
});

test("open returns the claims of a minted token", async () => {
  const tokens = tokensAt(NOW, KEY);
  assert.deepEqual(await tokens.open(await tokens.mint(CLAIMS)), CLAIMS);
});

test("open refuses a token from the moment it expires", async () => {
  const token = await tokensAt(NOW, KEY).mint(CLAIMS);
  assert.ok(await tokensAt(CLAIMS.expiresAt - 1, KEY).open(token));
  assert.equal(await tokensAt(CLAIMS.expiresAt, KEY).open(token), undefined);
});

test("open accepts tokens of older keys while the newest mints", async () => {
  const before = await tokensAt(NOW, KEY).mint(CLAIMS);
  const rotated = tokensAt(NOW, OTHER_KEY, KEY);
  assert.deepEqual(await rotated.open(before), CLAIMS);
  const header = Buffer.from((await rotated.mint(CLAIMS)).split(".")[0] ?? "", "base64url");
  assert.match(header.toString(), new RegExp(OTHER_KEY.kid));
});

test("open refuses tokens of another installation, even under a known kid", async () => {
  const foreign = await tokensAt(NOW, OTHER_KEY).mint(CLAIMS);
  const samekid = await tokensAt(NOW, { kid: KEY.kid, key: OTHER_KEY.key }).mint(CLAIMS);
  assert.equal(await tokensAt(NOW, KEY).open(foreign), undefined);
  assert.equal(await tokensAt(NOW, KEY).open(samekid), undefined);
});

test("open refuses a token with any character changed", async () => {
  const tokens = tokensAt(NOW, KEY);
  const token = await tokens.mint(CLAIMS);
  for (let index = 0; index < token.length; index += 7) {
    // The last character of a segment may carry unused bits; the first never does.
    if (token[index] === "." || token[index + 1] === "." || index + 1 === token.length) continue;
    const changed =
      token.slice(0, index) + (token[index] === "A" ? "B" : "A") + token.slice(index + 1);
    assert.equal(await tokens.open(changed), undefined, `changed at ${index}`);
  }
});

test("open refuses other algorithms, further header members and payloads that are no claims", async () => {
  const tokens = tokensAt(NOW, KEY);
  const good = { kid: KEY.kid, alg: "dir", enc: "A256GCM" };
  const cases: [string, string][] = [
    ["no kid", await sealed({ alg: "dir", enc: "A256GCM" }, KEY, CLAIMS)],
    ["extra member", await sealed({ ...good, typ: "JWT" }, KEY, CLAIMS)],
    ["claims missing", await sealed(good, KEY, { microvmId: CLAIMS.microvmId })],
    ["claims wrong", await sealed(good, KEY, { ...CLAIMS, ports: [{ port: "8080" }] })],
    ["no object", await sealed(good, KEY, null)],
  ];
  for (const [name, token] of cases) assert.equal(await tokens.open(token), undefined, name);
  assert.ok(await tokens.open(await sealed(good, KEY, CLAIMS)), "the same made well opens");
});

test("open refuses what is no token without a throw", async () => {
  const tokens = tokensAt(NOW, KEY);
  const token = await tokens.mint(CLAIMS);
  const cases = ["", ".", "....", "a.b.c", "x".repeat(100), `${token}.`, ` ${token}`, `${token}\n`];
  cases.push(
    token.replace("..", ".AAAA."),
    `${token}${"A".repeat(8192)}`,
    token.replaceAll("-", "+"),
  );
  for (const text of cases) {
    if (text === token) continue;
    assert.equal(await tokens.open(text), undefined, JSON.stringify(text.slice(0, 40)));
  }
});

test("isTokenForm tells tokens of any installation from other text", async () => {
  assert.equal(isTokenForm(await tokensAt(NOW, OTHER_KEY).mint(CLAIMS)), true);
  assert.equal(isTokenForm("garbage"), false);
  assert.equal(isTokenForm("a.b.c.d.e"), false);
  assert.equal(isTokenForm(`${"A".repeat(20)}..${"A".repeat(16)}.AA.${"A".repeat(22)}`), false);
});

test("a shell token has the form of an endpoint token and opens to its own claims", async () => {
  const tokens = tokensAt(NOW, KEY);
  const claims = { microvmId: CLAIMS.microvmId, shell: true, expiresAt: CLAIMS.expiresAt } as const;
  const token = await tokens.mint(claims);
  assert.deepEqual(await tokens.open(token), claims);
  const endpoint = await tokens.mint({ ...CLAIMS, ports: [{ port: 1 }] });
  assert.equal(token.length, endpoint.length);
  assert.equal(token.split(".")[0], endpoint.split(".")[0]);
});
