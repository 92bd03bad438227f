// The root key under the data directory: made at first start, read by the service and by `torpor env` afterwards.

import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";

export interface RootKey {
  /** `AKIA` and 16 base32 characters. */
  readonly accessKeyId: string;
  /** 40 characters of base64. */
  readonly secretAccessKey: string;
}

const FILE = "root.json";
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const fileSchema = z.strictObject({
  version: z.literal(1),
  accessKeyId: z.string().regex(/^AKIA[A-Z2-7]{16}$/),
  secretAccessKey: z.string().regex(/^[A-Za-z0-9+/]{40}$/),
  /** Epoch ms. */
  createdAt: z.number().int(),
});

/**
 * Reads the root key under `keysDirectory`, making it when there is none. Only the service calls this, holding the data
 * directory. Rejects SETUP_FAILED when the file is damaged: a new key would silently lock every client out.
 */
export async function openRootKey(
  deps: { readonly now: () => number },
  keysDirectory: string,
): Promise<RootKey> {
  return (await readRootKey(keysDirectory)) ?? (await makeRootKey(keysDirectory, deps.now()));
}

/** The root key, or undefined before the service's first start. Rejects SETUP_FAILED when the file is damaged. */
export async function readRootKey(keysDirectory: string): Promise<RootKey | undefined> {
  const file = path.join(keysDirectory, FILE);
  try {
    const stored = fileSchema.parse(JSON.parse(await readFile(file, "utf8")));
    return { accessKeyId: stored.accessKeyId, secretAccessKey: stored.secretAccessKey };
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    // Neither the parser's message nor the error itself goes further: both may quote the secret.
    const isFileError = hasErrorCode(error, "EACCES", "EISDIR", "EIO", "ENOTDIR");
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use root key "${file}": ${isFileError ? messageOf(error) : "damaged"}; restore the file, or remove it to get a new key`,
    );
  }
}

async function makeRootKey(keysDirectory: string, now: number): Promise<RootKey> {
  const key: RootKey = {
    // 256 is a multiple of 32 and 30 bytes are 40 base64 characters, so neither is biased or padded.
    accessKeyId: `AKIA${Array.from(randomBytes(16), (byte) => BASE32[byte % 32]).join("")}`,
    secretAccessKey: randomBytes(30).toString("base64"),
  };
  const content = `${JSON.stringify({ version: 1, ...key, createdAt: now }, null, 2)}\n`;
  await mkdir(keysDirectory, { recursive: true, mode: 0o711 });
  await writeFileDurably(path.join(keysDirectory, FILE), content, 0o600);
  return key;
}
