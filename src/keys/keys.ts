// Access keys: what a signature's access key id stands for. There are the root key of the configured account and any number
// of keys of other accounts.

/** What a signature is checked with, and whom it speaks for. */
export interface AccessKey {
  readonly secretAccessKey: string;
  /** Twelve digits. */
  readonly account: string;
}

export type FindKey = (accessKeyId: string) => AccessKey | undefined;

/** Asks one after the other. */
export function findKeyIn(...places: readonly FindKey[]): FindKey {
  return (accessKeyId) => {
    for (const find of places) {
      const key = find(accessKeyId);
      if (key !== undefined) return key;
    }
    return undefined;
  };
}
