// Tags of images and network connectors: how many there may be, and how calls change them.

import { ServiceError } from "../errors.ts";

export type Tags = Readonly<Record<string, string>>;

/** Most tags of one resource; the limit of AWS resources in general. */
export const MAX_TAGS = 50;

/** Throws VALIDATION_FAILED when there are too many. */
export function checkTags(tags: Tags): Tags {
  if (Object.keys(tags).length <= MAX_TAGS) return tags;
  throw new ServiceError("VALIDATION_FAILED", `A resource can have at most ${MAX_TAGS} tags.`);
}

/** The tags with `added` put over them. Throws VALIDATION_FAILED when there are too many. */
export function mergeTags(tags: Tags, added: Tags): Tags {
  return checkTags({ ...tags, ...added });
}

/** The tags without `keys`, whether they were there or not. */
export function withoutTags(tags: Tags, keys: readonly string[]): Tags {
  return Object.fromEntries(Object.entries(tags).filter(([key]) => !keys.includes(key)));
}
