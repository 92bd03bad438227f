// The two halves of an access key: how they look and how they are made.

import { randomBytes } from "node:crypto";
import { z } from "zod";

export interface KeyPair {
  /** `AKIA` and 16 base32 characters. */
  readonly accessKeyId: string;
  /** 40 characters of base64. */
  readonly secretAccessKey: string;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export const ACCESS_KEY_ID = /^AKIA[A-Z2-7]{16}$/;

/** Members of a key file that hold the pair. */
export const keyPairShape = {
  accessKeyId: z.string().regex(ACCESS_KEY_ID),
  secretAccessKey: z.string().regex(/^[A-Za-z0-9+/]{40}$/),
};

/** A pair that nobody has. */
export function newKeyPair(): KeyPair {
  return {
    // 256 is a multiple of 32 and 30 bytes are 40 base64 characters, so neither is biased or padded.
    accessKeyId: `AKIA${Array.from(randomBytes(16), (byte) => BASE32[byte % 32]).join("")}`,
    secretAccessKey: randomBytes(30).toString("base64"),
  };
}
