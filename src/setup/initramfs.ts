// The guest's first file system: the agent as /init and the kernel modules it loads, in order, from /modules.
// Not compressed: unpacking costs more than reading when a guest boots under emulation.

import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { AGENT_FILE } from "./agent.ts";
import { type CpioEntry, writeCpio } from "./cpio.ts";
import { fingerprintOf, readInputs } from "./fingerprint.ts";
import { type Product, productFile } from "./product.ts";

export const INITRAMFS_FILE = "initramfs.cpio";

const RECIPE = ["initramfs.ts", "cpio.ts"];
const MOUNT_POINTS = ["dev", "mnt", "proc", "run", "sys"];

/** Hash of the inputs, two of which are products themselves. */
export async function initramfsFingerprint(kernel: Product, agent: Product): Promise<string> {
  return fingerprintOf([
    path.basename(kernel.directory),
    path.basename(agent.directory),
    ...(await readInputs(import.meta.dirname, RECIPE)),
  ]);
}

/** Writes the archive into `directory`. */
export async function buildInitramfs(
  directory: string,
  kernel: Product,
  agent: Product,
): Promise<Readonly<Record<string, string>>> {
  const modules = kernel.files
    .filter((file) => file.path.startsWith("modules/"))
    .map((file) => file.path)
    .sort();
  const directories = [...MOUNT_POINTS, "modules"].sort();
  const entries: CpioEntry[] = [
    ...directories.map((at) => ({ type: "directory", path: at, mode: 0o755 }) as const),
    // The kernel opens it for init's standard streams, before anyone has mounted a devtmpfs.
    { type: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    {
      type: "file",
      path: "init",
      mode: 0o755,
      content: await readFile(productFile(agent, AGENT_FILE)),
    },
  ];
  for (const file of modules) {
    const content = await readFile(productFile(kernel, file));
    entries.push({ type: "file", path: file, mode: 0o644, content });
  }
  await writeFile(path.join(directory, INITRAMFS_FILE), writeCpio(entries), { mode: 0o644 });
  return { modules: String(modules.length) };
}
