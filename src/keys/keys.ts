// Access keys: what a signature's access key id stands for. One kind exists, the account's root key.

/** What a signature is checked with, and whom it speaks for. */
export interface AccessKey {
  readonly secretAccessKey: string;
  /** Twelve digits. */
  readonly account: string;
}

export type FindKey = (accessKeyId: string) => AccessKey | undefined;
