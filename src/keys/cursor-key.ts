// The key that seals page cursors, under the data directory: a list that was begun before a restart goes on after it.

import { createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";

const FILE = "cursors.json";
const KEY_BYTES = 32;

const fileSchema = z.strictObject({
  version: z.literal(1),
  /** Base64url, 32 bytes. */
  secret: z.base64url().length(43),
});

/**
 * Reads the cursor key under `keysDirectory`, making it when there is none. Rejects SETUP_FAILED when the file is damaged.
 */
export async function openCursorKey(keysDirectory: string): Promise<KeyObject> {
  const file = path.join(keysDirectory, FILE);
  const secret = (await readSecret(file)) ?? (await makeSecret(file));
  return createSecretKey(secret, "base64url");
}

async function readSecret(file: string): Promise<string | undefined> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(file, "utf8"))).secret;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    // The parser's own message may quote the file, and with it the key.
    const detail = hasErrorCode(error, "EACCES", "EISDIR", "EIO") ? messageOf(error) : "damaged";
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use cursor key "${file}": ${detail}; restore the file, or remove it to void every nextToken in use`,
    );
  }
}

async function makeSecret(file: string): Promise<string> {
  const secret = randomBytes(KEY_BYTES).toString("base64url");
  await mkdir(path.dirname(file), { recursive: true, mode: 0o711 });
  await writeFileDurably(file, `${JSON.stringify({ version: 1, secret }, null, 2)}\n`);
  return secret;
}
