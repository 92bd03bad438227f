// Signing keys of Signature Version 4: four HMACs deep under the secret, and the same for a day, a region and a service.
// Deriving one costs more than all the rest of a check, so those in use are remembered.

import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { makeRoom } from "../lib/bounded.ts";

/** What a signing key is derived from. */
export interface SigningScope {
  readonly secretAccessKey: string;
  /** `YYYYMMDD`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export type SigningKeys = (scope: SigningScope) => KeyObject;

/** More scopes than a busy service sees in a day; callers without a known key id never get this far. */
const MAX_REMEMBERED = 256;

/** Derives signing keys and remembers the last `MAX_REMEMBERED` of them. */
export function createSigningKeys(): SigningKeys {
  const remembered = new Map<string, KeyObject>();
  return (scope) => {
    // The secret is part of the name: a key id whose secret is changed never meets a key of the old one.
    const { secretAccessKey, date, region, service } = scope;
    const name = `${date}/${region}/${service}/${secretAccessKey}`;
    const known = remembered.get(name);
    if (known !== undefined) return known;
    makeRoom(remembered, MAX_REMEMBERED);
    const key = deriveSigningKey(scope);
    remembered.set(name, key);
    return key;
  };
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, step 4. */
export function deriveSigningKey({ secretAccessKey, ...scope }: SigningScope): KeyObject {
  const parts = [scope.date, scope.region, scope.service, "aws4_request"];
  return parts.reduce<KeyObject>(
    (key, part) => createSecretKey(createHmac("sha256", key).update(part).digest()),
    createSecretKey(Buffer.from(`AWS4${secretAccessKey}`)),
  );
}
