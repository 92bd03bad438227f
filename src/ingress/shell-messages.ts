// The text frames of a shell's client.

import { z } from "zod";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const side = z.number().int().min(0).max(65_535);
const resize = z.object({ type: z.literal("resize"), cols: side, rows: side });

/** The size that a text frame asks for; undefined for what is to be typed. */
export function readShellMessage(text: string): Size | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const parsed = resize.safeParse(value);
  return parsed.success ? { columns: parsed.data.cols, rows: parsed.data.rows } : undefined;
}
