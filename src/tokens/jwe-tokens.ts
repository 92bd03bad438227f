// Endpoint and shell tokens as compact JWEs (RFC 7516): protected header {kid, alg "dir", enc "A256GCM"}, the claims sealed inside
// and padded, so that a token's length says little about them.

import { CompactEncrypt, compactDecrypt } from "jose";
import { JOSEError } from "jose/errors";
import { z } from "zod";
import { ServiceError } from "../errors.ts";
import { makeRoom } from "../lib/bounded.ts";
import type { TokenKey } from "./keys.ts";
import { type TokenClaims, TOKEN_LIFETIME_LIMIT_MS, type Tokens } from "./tokens.ts";

export interface TokensDeps {
  /** Newest first: the first mints, all open. At least one. */
  readonly keys: readonly TokenKey[];
  /** Epoch ms. */
  readonly now: () => number;
}

/** Longest token that is opened or minted, in characters. */
export const TOKEN_LENGTH_LIMIT = 8 * 1024;
/** A payload of one block gives a token of 825 characters; the original's have 767 to 868. */
const PADDING_BLOCK = 512;
/** Header, no encrypted key, 96-bit nonce, sealed claims, 128-bit tag. */
const COMPACT_JWE =
  /^([A-Za-z0-9_-]{1,512})\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}$/;

const headerSchema = z.strictObject({
  kid: z.uuid(),
  alg: z.literal("dir"),
  enc: z.literal("A256GCM"),
});

const port = z.number().int().min(1).max(65535);
const endpointClaims = z.strictObject({
  microvmId: z.string(),
  ports: z.array(
    z.union([
      z.strictObject({ port }),
      z.strictObject({ range: z.strictObject({ startPort: port, endPort: port }) }),
      z.strictObject({ allPorts: z.strictObject({}) }),
    ]),
  ),
  expiresAt: z.number(),
});
const shellClaims = z.strictObject({
  microvmId: z.string(),
  shell: z.literal(true),
  expiresAt: z.number(),
});
/** Either exactly: what would be both is neither. */
const claimsSchema = z.union([endpointClaims, shellClaims]);

/** Opened tokens remembered, so that each costs its decryption once and not at every request. */
const OPENED_LIMIT = 4096;

export interface InstallationTokens extends Tokens {
  /** Mints and opens with these from now on, newest first, as after a rotation. At least one. */
  useKeys(keys: readonly TokenKey[]): void;
}

/** Tokens of this installation. `mint` rejects VALIDATION_FAILED for claims that live too long or do not fit. */
export function createTokens(deps: TokensDeps): InstallationTokens {
  let keys = new Map<string, TokenKey["key"]>();
  let newest = newestOf(deps.keys);
  /** By the token itself: to make its digest at each request takes longer than all else here. The oldest gives way. */
  const opened = new Map<string, TokenClaims>();
  const useKeys = (given: readonly TokenKey[]) => {
    newest = newestOf(given);
    keys = new Map(given.map(({ kid, key }) => [kid, key]));
    // What was opened with a key that is gone must not outlive it.
    opened.clear();
  };
  useKeys(deps.keys);
  const living = (claims: TokenClaims) => (deps.now() < claims.expiresAt ? claims : undefined);
  const decrypt = async (token: string) => {
    const kid = tokenKeyId(token);
    const key = kid === undefined ? undefined : keys.get(kid);
    if (kid === undefined || key === undefined) return undefined;
    const claims = await unseal(token, key);
    // The key may have gone meanwhile.
    if (claims === undefined || keys.get(kid) !== key) return undefined;
    makeRoom(opened, OPENED_LIMIT);
    opened.set(token, claims);
    return living(claims);
  };
  return {
    useKeys,
    mint: (claims) => mint(newest, claims, deps.now()),
    open(token) {
      if (token.length > TOKEN_LENGTH_LIMIT) return undefined;
      const known = opened.get(token);
      return known === undefined ? decrypt(token) : living(known);
    },
  };
}

function newestOf([newest]: readonly TokenKey[]): TokenKey {
  if (newest === undefined) throw new ServiceError("SETUP_FAILED", "Cannot mint tokens: no key");
  return newest;
}

/** Whether the text has a token's form, from whichever installation; says nothing about its being genuine. */
export function isTokenForm(text: string): boolean {
  return tokenKeyId(text) !== undefined;
}

async function mint(newest: TokenKey, claims: TokenClaims, now: number): Promise<string> {
  if (claims.expiresAt - now > TOKEN_LIFETIME_LIMIT_MS) {
    throw new ServiceError("VALIDATION_FAILED", "Cannot mint token: it would live over 60 minutes");
  }
  const { microvmId, expiresAt } = claims;
  const granted = "shell" in claims ? { shell: true } : { ports: claims.ports };
  const text = JSON.stringify({ microvmId, ...granted, expiresAt });
  const blocks = Math.ceil(Buffer.byteLength(text) / PADDING_BLOCK);
  const padding = " ".repeat(blocks * PADDING_BLOCK - Buffer.byteLength(text));
  const token = await new CompactEncrypt(Buffer.from(text + padding))
    .setProtectedHeader({ kid: newest.kid, alg: "dir", enc: "A256GCM" })
    .encrypt(newest.key);
  if (token.length > TOKEN_LENGTH_LIMIT) {
    throw new ServiceError("VALIDATION_FAILED", "Cannot mint token: too many ports");
  }
  return token;
}

function tokenKeyId(token: string): string | undefined {
  if (token.length > TOKEN_LENGTH_LIMIT) return undefined;
  const header = COMPACT_JWE.exec(token)?.[1];
  if (header === undefined) return undefined;
  const parsed = headerSchema.safeParse(parseJson(Buffer.from(header, "base64url").toString()));
  return parsed.success ? parsed.data.kid : undefined;
}

async function unseal(token: string, key: TokenKey["key"]): Promise<TokenClaims | undefined> {
  try {
    const { plaintext } = await compactDecrypt(token, key, {
      keyManagementAlgorithms: ["dir"],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    const parsed = claimsSchema.safeParse(parseJson(Buffer.from(plaintext).toString()));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof JOSEError) return undefined;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
