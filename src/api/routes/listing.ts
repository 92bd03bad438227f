// What all lists of the microVM API have in common: page size, cursor, items.

import type { KeyObject } from "node:crypto";
import type { Page, PageRequest } from "../../microvms/operations.ts";
import { type CursorBinding, openCursor, sealCursor } from "../cursor.ts";

export interface ListedPage<W> {
  readonly items: readonly W[];
  readonly nextToken: string | null;
}

/** One page of a list; `input` says which, `read` gets it and `wire` is the form of an item. */
export async function answerPage<T, W>(
  cursorKey: KeyObject,
  binding: CursorBinding,
  input: { readonly maxResults: number; readonly nextToken?: string },
  read: (page: PageRequest) => Promise<Page<T>>,
  wire: (item: T) => W,
): Promise<ListedPage<W>> {
  const after = openCursor(cursorKey, binding, input.nextToken);
  const { items, next } = await read({ maxResults: input.maxResults, after });
  return { items: items.map(wire), nextToken: sealCursor(cursorKey, binding, next) };
}
