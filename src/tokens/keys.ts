// The keys that seal endpoint tokens, under the data directory. The file is a list so that keys can rotate: the newest
// mints, all of them open.

import { randomBytes, randomUUID, webcrypto } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";
import { TOKEN_LIFETIME_LIMIT_MS } from "./tokens.ts";

export interface TokenKey {
  /** Uuid, in the clear in every token the key sealed. */
  readonly kid: string;
  /** AES-256-GCM, not extractable. */
  readonly key: webcrypto.CryptoKey;
}

const FILE = "tokens.json";
const KEY_BYTES = 32;
/** A key mints no longer than this. Far fewer tokens than random nonces allow, and what a leaked key opens ends some day. */
export const KEY_LIFETIME_MS = 30 * 24 * 60 * 60 * 1000;
/** Clocks that differ between a mint and its check, as after a step back. */
const RETIREMENT_MARGIN_MS = 60 * 60 * 1000;

const fileSchema = z.strictObject({
  version: z.literal(1),
  /** Newest first. */
  keys: z
    .array(
      z.strictObject({
        kid: z.uuid(),
        /** Base64url, 32 bytes. */
        secret: z.base64url().length(43),
        /** Epoch ms. */
        createdAt: z.number().int(),
      }),
    )
    .min(1)
    .max(16),
});

type KeyFile = z.output<typeof fileSchema>;

/**
 * Reads the token keys under `keysDirectory`, newest first, making the first one when there is no file yet.
 * Rejects SETUP_FAILED when the file is damaged: new keys would silently void every token in use.
 */
export async function openTokenKeys(
  deps: { readonly now: () => number },
  keysDirectory: string,
): Promise<readonly TokenKey[]> {
  const file = path.join(keysDirectory, FILE);
  const stored = (await readKeyFile(file)) ?? (await makeKeyFile(file, deps.now()));
  return importKeys(stored);
}

/**
 * Puts a new key before one that has minted long enough, and forgets those whose last token has expired. Resolves with the
 * keys as they are then, or undefined when nothing was due. The file is written before anything is minted with it.
 */
export async function rotateTokenKeys(
  deps: { readonly now: () => number },
  keysDirectory: string,
): Promise<readonly TokenKey[] | undefined> {
  const file = path.join(keysDirectory, FILE);
  const stored = await readKeyFile(file);
  if (stored === undefined) return undefined;
  const now = deps.now();
  const rotated = rotate(stored, now);
  if (rotated === stored) return undefined;
  await writeFileDurably(file, `${JSON.stringify(rotated, null, 2)}\n`, 0o600);
  return importKeys(rotated);
}

function rotate(stored: KeyFile, now: number): KeyFile {
  const [newest] = stored.keys;
  const isDue = newest === undefined || now - newest.createdAt >= KEY_LIFETIME_MS;
  const keys = isDue ? [newKey(now), ...stored.keys] : stored.keys;
  // A key minted until the one before it in the list was made.
  const kept = keys.filter((_, index) => {
    const successor = keys[index - 1];
    const retiredFor = successor === undefined ? 0 : now - successor.createdAt;
    return retiredFor < TOKEN_LIFETIME_LIMIT_MS + RETIREMENT_MARGIN_MS;
  });
  return kept.length === stored.keys.length && !isDue ? stored : { version: 1, keys: kept };
}

function importKeys({ keys }: KeyFile): Promise<readonly TokenKey[]> {
  return Promise.all(keys.map(async ({ kid, secret }) => ({ kid, key: await importKey(secret) })));
}

async function readKeyFile(file: string): Promise<KeyFile | undefined> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    // The parser's own message may quote the file, and with it a key.
    const detail = hasErrorCode(error, "EACCES", "EISDIR", "EIO") ? messageOf(error) : "damaged";
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use token keys "${file}": ${detail}; restore the file, or remove it to void every token in use`,
    );
  }
}

async function makeKeyFile(file: string, now: number): Promise<KeyFile> {
  const made: KeyFile = { version: 1, keys: [newKey(now)] };
  await mkdir(path.dirname(file), { recursive: true, mode: 0o711 });
  await writeFileDurably(file, `${JSON.stringify(made, null, 2)}\n`, 0o600);
  return made;
}

function newKey(now: number): KeyFile["keys"][number] {
  const secret = randomBytes(KEY_BYTES).toString("base64url");
  return { kid: randomUUID(), secret, createdAt: now };
}

function importKey(secret: string): Promise<webcrypto.CryptoKey> {
  const bytes = Buffer.from(secret, "base64url");
  return webcrypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}
