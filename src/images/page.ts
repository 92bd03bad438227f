// Pages of lists that are short enough to be made as a whole.

import type { Page, PageRequest } from "../microvms/operations.ts";

/** The page of `items` that follows the item with the key `after`; empty when no item has it. */
export function pageOf<T>(
  items: readonly T[],
  { maxResults, after }: PageRequest,
  keyOf: (item: T) => string,
): Page<T> {
  const last = after === null ? -1 : items.findIndex((item) => keyOf(item) === after);
  const start = last === -1 && after !== null ? items.length : last + 1;
  const page = items.slice(start, start + maxResults);
  const end = page.at(-1);
  const hasMore = start + page.length < items.length && end !== undefined;
  return { items: page, next: hasMore ? keyOf(end) : null };
}
