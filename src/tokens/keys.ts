// The keys that seal endpoint tokens, under the data directory. The file is a list so that keys can rotate: the newest
// mints, all of them open.

import { randomBytes, randomUUID, webcrypto } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";

export interface TokenKey {
  /** Uuid, in the clear in every token the key sealed. */
  readonly kid: string;
  /** AES-256-GCM, not extractable. */
  readonly key: webcrypto.CryptoKey;
}

const FILE = "tokens.json";
const KEY_BYTES = 32;

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
  return Promise.all(
    stored.keys.map(async ({ kid, secret }) => ({ kid, key: await importKey(secret) })),
  );
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
  const secret = randomBytes(KEY_BYTES).toString("base64url");
  const made: KeyFile = { version: 1, keys: [{ kid: randomUUID(), secret, createdAt: now }] };
  await mkdir(path.dirname(file), { recursive: true, mode: 0o711 });
  await writeFileDurably(file, `${JSON.stringify(made, null, 2)}\n`, 0o600);
  return made;
}

function importKey(secret: string): Promise<webcrypto.CryptoKey> {
  const bytes = Buffer.from(secret, "base64url");
  return webcrypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}
