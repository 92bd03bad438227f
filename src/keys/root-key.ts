// The root key under the data directory: made at first start, read by the service and by `torpor env` afterwards.

import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { syncDirectory, writeFileDurably } from "../lib/files.ts";
import { type KeyPair, keyPairShape, newKeyPair } from "./key-pair.ts";
import type { FindKey } from "./keys.ts";

export interface RootKey extends KeyPair {
  /** Knows this key alone. */
  readonly findKey: FindKey;
}

const FILE = "root.json";

const fileSchema = z.strictObject({ version: z.literal(1), ...keyPairShape });

/**
 * Reads the root key under `keysDirectory`, making it when there is none; it speaks for `account`. Rejects SETUP_FAILED
 * when the file is damaged: a new key would silently lock every client out.
 */
export async function openRootKey(keysDirectory: string, account: string): Promise<RootKey> {
  const file = path.join(keysDirectory, FILE);
  const pair = (await readKeyFile(file)) ?? (await makeKeyFile(file));
  const accessKey = { secretAccessKey: pair.secretAccessKey, account };
  return { ...pair, findKey: (id) => (id === pair.accessKeyId ? accessKey : undefined) };
}

async function readKeyFile(file: string): Promise<KeyPair | undefined> {
  try {
    const stored = fileSchema.parse(JSON.parse(await readFile(file, "utf8")));
    return { accessKeyId: stored.accessKeyId, secretAccessKey: stored.secretAccessKey };
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    if (hasErrorCode(error, "EACCES")) {
      const message = `Cannot read root key "${file}": this user may not; run the command as root`;
      throw new ServiceError("SETUP_FAILED", message);
    }
    // Neither the parser's message nor the error itself goes further: both may quote the secret.
    const isFileError = hasErrorCode(error, "EISDIR", "EIO", "ENOTDIR");
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use root key "${file}": ${isFileError ? messageOf(error) : "damaged"}; restore the file, or remove it to get a new key`,
    );
  }
}

/** Makes the key file, or takes the one that another process made in the meantime. */
async function makeKeyFile(file: string): Promise<KeyPair> {
  const pair = newKeyPair();
  await mkdir(path.dirname(file), { recursive: true, mode: 0o711 });
  const draft = `${file}.${randomUUID()}.draft`;
  try {
    await writeFileDurably(draft, `${JSON.stringify({ version: 1, ...pair }, null, 2)}\n`, 0o600);
    // A link, unlike a rename, replaces no key that is in use already.
    await link(draft, file);
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
  } finally {
    await rm(draft, { force: true });
  }
  await syncDirectory(path.dirname(file));
  const stored = await readKeyFile(file);
  if (stored === undefined) throw new ServiceError("SETUP_FAILED", `Root key "${file}" vanished`);
  return stored;
}
