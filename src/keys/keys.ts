// Access keys: what a signature's access key id stands for. One kind exists, the account's root key.

import type { RootKey } from "./root-key.ts";

/** What a signature is checked with, and whom it speaks for. */
export interface AccessKey {
  readonly secretAccessKey: string;
  /** Twelve digits. */
  readonly account: string;
}

export type FindKey = (accessKeyId: string) => AccessKey | undefined;

/** Finds keys by their id; the root key belongs to `account`. */
export function createKeyLookup(rootKey: RootKey, account: string): FindKey {
  const keys = new Map([
    [rootKey.accessKeyId, { secretAccessKey: rootKey.secretAccessKey, account }],
  ]);
  return (accessKeyId) => keys.get(accessKeyId);
}
