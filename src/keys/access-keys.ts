// Access keys of further accounts, one file each under `keys/access/`. `torpor keys` writes and removes them while the
// service runs; the service looks at the file itself, so a key counts as soon as its file is there and no longer.

import { readFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { makePrivateDirectory, syncDirectory, writeFileDurably } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import { ACCESS_KEY_ID, type KeyPair, keyPairShape, newKeyPair } from "./key-pair.ts";
import type { AccessKey, FindKey } from "./keys.ts";

export interface StoredKey extends KeyPair {
  /** Twelve digits. */
  readonly account: string;
  /** Epoch ms. */
  readonly createdAt: number;
}

/** How long a key that was read is believed without another look at its file. */
export const RECHECK_MS = 1000;

const fileSchema = z.strictObject({
  version: z.literal(1),
  ...keyPairShape,
  account: z.string().regex(/^\d{12}$/),
  createdAt: z.number().int(),
});

/** Makes a key of `account`, which is thereby there. `now` is epoch ms. */
export async function createAccessKey(
  keysDirectory: string,
  account: string,
  now: number,
): Promise<StoredKey> {
  const key: StoredKey = { ...newKeyPair(), account, createdAt: now };
  const directory = directoryIn(keysDirectory);
  await makePrivateDirectory(directory);
  const content = `${JSON.stringify({ version: 1, ...key }, null, 2)}\n`;
  await writeFileDurably(fileOf(directory, key.accessKeyId), content);
  return key;
}

/** All of them, by account and then oldest first. Rejects SETUP_FAILED for one that cannot be read. */
export async function listAccessKeys(keysDirectory: string): Promise<StoredKey[]> {
  const directory = directoryIn(keysDirectory);
  const keys: StoredKey[] = [];
  for (const name of await namesIn(directory)) {
    const accessKeyId = path.basename(name, ".json");
    // Drafts of files being written are not keys yet.
    if (!ACCESS_KEY_ID.test(accessKeyId) || !name.endsWith(".json")) continue;
    try {
      keys.push(parseKey(await readFile(path.join(directory, name), "utf8"), accessKeyId));
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT")) throw unusable(path.join(directory, name), error);
    }
  }
  return keys.sort((a, b) => a.account.localeCompare(b.account) || a.createdAt - b.createdAt);
}

/** Ends a key. Rejects NOT_FOUND. */
export async function deleteAccessKey(keysDirectory: string, accessKeyId: string): Promise<void> {
  const directory = directoryIn(keysDirectory);
  try {
    if (!ACCESS_KEY_ID.test(accessKeyId)) throw unknownKey(accessKeyId);
    await rm(fileOf(directory, accessKeyId));
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) throw unknownKey(accessKeyId);
    throw error;
  }
  await syncDirectory(directory);
}

/** Knows the keys whose files are under `keysDirectory`, looking at each at most once in `RECHECK_MS`. */
export function findAccessKeys(
  { log, now }: { readonly log: Log; readonly now: () => number },
  keysDirectory: string,
): FindKey {
  const directory = directoryIn(keysDirectory);
  const known = new Map<string, { readonly key: AccessKey | undefined; readonly readAt: number }>();
  return (accessKeyId) => {
    if (!ACCESS_KEY_ID.test(accessKeyId)) return undefined;
    const found = known.get(accessKeyId);
    const age = now() - (found?.readAt ?? 0);
    // A clock that was set back must not keep a key that is gone.
    if (found !== undefined && age >= 0 && age < RECHECK_MS) return found.key;
    known.delete(accessKeyId);
    const read = readKey(fileOf(directory, accessKeyId), accessKeyId, log);
    if (read !== undefined) known.set(accessKeyId, { ...read, readAt: now() });
    return read?.key;
  };
}

/**
 * Blocks for one small file, so that a signature is checked in one turn. Undefined when there is no file; one without a key
 * is remembered too, or anybody who names it could fill the log.
 */
function readKey(
  file: string,
  accessKeyId: string,
  log: Log,
): { readonly key: AccessKey | undefined } | undefined {
  try {
    const { secretAccessKey, account } = parseKey(readFileSync(file, "utf8"), accessKeyId);
    return { key: { secretAccessKey, account } };
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    log.error("Cannot use access key", { accessKeyId, error: unusable(file, error) });
    return { key: undefined };
  }
}

function parseKey(content: string, accessKeyId: string): StoredKey {
  const { version: _version, ...key } = fileSchema.parse(JSON.parse(content));
  if (key.accessKeyId === accessKeyId) return key;
  throw new ServiceError("SETUP_FAILED", "The file has another key's name");
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

function directoryIn(keysDirectory: string): string {
  return path.join(keysDirectory, "access");
}

function fileOf(directory: string, accessKeyId: string): string {
  return path.join(directory, `${accessKeyId}.json`);
}

function unknownKey(accessKeyId: string): ServiceError {
  return new ServiceError("NOT_FOUND", `There is no access key "${accessKeyId}"`);
}

/** Neither the parser's message nor the error itself goes further: both may quote the secret. */
function unusable(file: string, error: unknown): ServiceError {
  const isFileError = hasErrorCode(error, "EACCES", "EISDIR", "EIO", "ENOTDIR");
  const reason = isFileError ? messageOf(error) : "damaged";
  return new ServiceError("SETUP_FAILED", `Cannot use access key "${file}": ${reason}`);
}
