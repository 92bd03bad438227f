// A set-up product is one directory `NAME-HASH16` that is complete or absent: made beside its place, synced, renamed.
// Its `product.json`, written last, says from which inputs it was made and what it holds.

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, ServiceError } from "../errors.ts";
import { renameDurably, syncDirectory, syncFile, writeFileDurably } from "../lib/files.ts";
import { fingerprintOf, listFiles } from "./fingerprint.ts";

const productRecord = z.object({
  name: z.string(),
  /** Hash of the inputs found on this machine: scripts, sources, settings. */
  fingerprint: z.string(),
  /** What a package archive answered when the product was made; empty for a product made from local inputs alone. */
  upstream: z.string(),
  /** Epoch ms; of several products from the same local inputs, the newest is in use. */
  createdAt: z.number(),
  /** What the build found out: versions, digests. */
  facts: z.record(z.string(), z.string()),
  /** Every file with its size in bytes. */
  files: z.array(z.object({ path: z.string(), size: z.number() })),
});

type ProductRecord = z.output<typeof productRecord>;

/** A complete product on disk. */
export interface Product extends ProductRecord {
  readonly directory: string;
}

export interface ProductSpec {
  readonly name: string;
  /** Directory the product's directory goes into. */
  readonly home: string;
  readonly fingerprint: string;
  /** Asks a package archive for the version to use; absent for a product made from local inputs alone. */
  readonly resolveUpstream?: (signal: AbortSignal) => Promise<string>;
  /** Fills an empty directory and resolves with what it found out. */
  readonly build: (
    directory: string,
    upstream: string,
    signal: AbortSignal,
  ) => Promise<Readonly<Record<string, string>>>;
}

export interface EnsuredProduct {
  readonly product: Product;
  readonly isNew: boolean;
}

const RECORD_FILE = "product.json";
/** Begins the name of whatever is not complete; removed by `pruneProducts`. */
export const TEMPORARY_PREFIX = ".building-";

/**
 * Finds the product made from these inputs or makes it. With `refresh` the package archive is asked again even when
 * there is one. Caller holds the set-up lock.
 */
export async function ensureProduct(
  spec: ProductSpec,
  options: { readonly refresh: boolean; readonly now: () => number },
  signal: AbortSignal,
): Promise<EnsuredProduct> {
  await mkdir(spec.home, { recursive: true, mode: 0o755 });
  const existing = await findProduct(spec);
  const mustAsk = options.refresh && spec.resolveUpstream !== undefined;
  if (existing !== undefined && !mustAsk) return { product: existing, isNew: false };
  const upstream = (await spec.resolveUpstream?.(signal)) ?? "";
  if (existing?.upstream === upstream) return { product: existing, isNew: false };
  return { product: await buildProduct(spec, upstream, options.now(), signal), isNew: true };
}

/** The newest complete product made from the given local inputs, or undefined. */
export async function findProduct(
  spec: Pick<ProductSpec, "name" | "home" | "fingerprint">,
): Promise<Product | undefined> {
  const products = await listProducts(spec.home, spec.name);
  return products.find(({ fingerprint }) => fingerprint === spec.fingerprint);
}

/** True when some product of that name is there, from whatever inputs. */
export async function hasAnyProduct(home: string, name: string): Promise<boolean> {
  return (await listProducts(home, name)).length > 0;
}

async function buildProduct(
  spec: ProductSpec,
  upstream: string,
  createdAt: number,
  signal: AbortSignal,
): Promise<Product> {
  const temporary = await mkdtemp(path.join(spec.home, `${TEMPORARY_PREFIX}${spec.name}-`));
  // VMM processes run as users of their own and read what is in here.
  await chmod(temporary, 0o755);
  try {
    const facts = await spec.build(temporary, upstream, signal);
    const files = await describeFiles(temporary);
    const record: ProductRecord = {
      name: spec.name,
      fingerprint: spec.fingerprint,
      upstream,
      createdAt,
      facts,
      files,
    };
    for (const file of files) await syncFile(path.join(temporary, file.path));
    await writeFileDurably(path.join(temporary, RECORD_FILE), JSON.stringify(record, null, 2));
    await syncDirectories(temporary, files);
    const key = fingerprintOf([spec.fingerprint, upstream]);
    const directory = path.join(spec.home, `${spec.name}-${key}`);
    // A directory of that name that findProduct passed over is damaged.
    await rm(directory, { recursive: true, force: true });
    await renameDurably(temporary, directory);
    return { ...record, directory };
  } catch (error) {
    // Programs of a build that was cut short may still be ending.
    await rm(temporary, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    throw error;
  }
}

async function describeFiles(directory: string): Promise<ProductRecord["files"]> {
  const files = await listFiles(directory, new Set());
  return Promise.all(
    files.map(async (file) => ({
      path: file,
      size: (await stat(path.join(directory, file))).size,
    })),
  );
}

async function syncDirectories(root: string, files: ProductRecord["files"]): Promise<void> {
  const directories = new Set([".", ...files.map((file) => path.dirname(file.path))]);
  for (const directory of directories) await syncDirectory(path.join(root, directory));
}

/** Complete products of that name, newest first. */
async function listProducts(home: string, name: string): Promise<Product[]> {
  const entries = await readDirectoryIfExists(home);
  const read = entries
    .filter((entry) => new RegExp(`^${name}-[0-9a-f]{16}$`).test(entry))
    .map((entry) => readProduct(path.join(home, entry)));
  const products = (await Promise.all(read)).filter((product) => product !== undefined);
  return products.sort((a, b) => b.createdAt - a.createdAt);
}

async function readDirectoryIfExists(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function readProduct(directory: string): Promise<Product | undefined> {
  try {
    const text = await readFile(path.join(directory, RECORD_FILE), "utf8");
    const record = productRecord.parse(JSON.parse(text));
    for (const file of record.files) {
      if ((await stat(path.join(directory, file.path))).size !== file.size) return undefined;
    }
    return { ...record, directory };
  } catch (error) {
    const isDamaged = error instanceof SyntaxError || error instanceof z.ZodError;
    if (isDamaged || hasErrorCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/**
 * Removes what is of no more use in `home`: half-made products of a killed set-up, and products of that name other than
 * `current` and the one before it, which a running service may still boot from. Caller holds the set-up lock.
 */
export async function pruneProducts(current: Product): Promise<void> {
  const home = path.dirname(current.directory);
  const older = (await listProducts(home, current.name)).filter(
    ({ directory }) => directory !== current.directory,
  );
  const kept = new Set([current.directory, older[0]?.directory]);
  for (const entry of await readDirectoryIfExists(home)) {
    const directory = path.join(home, entry);
    const isProduct = new RegExp(`^${current.name}-[0-9a-f]{16}$`).test(entry);
    const isHalfMade = entry.startsWith(`${TEMPORARY_PREFIX}${current.name}-`);
    if (isHalfMade || (isProduct && !kept.has(directory))) {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** The path of a file of a product. Rejects SETUP_FAILED when the product has no such file. */
export function productFile(product: Product, file: string): string {
  if (!product.files.some((entry) => entry.path === file)) {
    throw new ServiceError("SETUP_FAILED", `Cannot find "${file}" in "${product.directory}"`);
  }
  return path.join(product.directory, file);
}
