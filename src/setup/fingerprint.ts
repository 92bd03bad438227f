// Turns the inputs of a set-up product into one short hash, so that an unchanged product is never made twice.

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

/** Sixteen hex digits that stand for `parts`, each of any length, in their order. */
export function fingerprintOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part).update("\n");
  return hash.digest("hex").slice(0, 16);
}

/** The contents of files in order of name, each preceded by its path relative to `root`. */
export async function readInputs(root: string, files: readonly string[]): Promise<Buffer[]> {
  const parts = await Promise.all(
    [...files].sort().map(async (file) => [
      Buffer.from(file), //
      await readFile(path.join(root, file)),
    ]),
  );
  return parts.flat();
}

/** Paths of all files below `root`, relative to it and sorted, without what `skip` names at the top. */
export async function listFiles(root: string, skip: ReadonlySet<string>): Promise<string[]> {
  const files: string[] = [];
  const visit = async (relative: string): Promise<void> => {
    for (const entry of await readdir(path.join(root, relative), { withFileTypes: true })) {
      const at = path.join(relative, entry.name);
      if (skip.has(at)) continue;
      if (entry.isDirectory()) await visit(at);
      else if (entry.isFile()) files.push(at);
    }
  };
  await visit("");
  return files.sort();
}
