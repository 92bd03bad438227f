// Which modules of the guest kernel every guest needs, and in what order they must be loaded.

import { ServiceError } from "../errors.ts";

/** What every guest loads, by the kernel's names; their dependencies come along. */
export const GUEST_MODULES = [
  "virtio_blk",
  "virtio_net",
  "virtio_rng",
  "erofs",
  "overlay",
  "inet_diag",
  "tcp_diag",
] as const;

/** The name the kernel uses for a module file: `virtio-rng.ko.xz` is `virtio_rng`. */
export function moduleName(file: string): string {
  const base = file.slice(file.lastIndexOf("/") + 1);
  return base.replace(/\.ko(\.(xz|zst|gz))?$/, "").replaceAll("-", "_");
}

/**
 * The modules to load for `wanted`, dependencies first. `dependenciesOf` answers for one module, or undefined when
 * there is no such file; names in `builtin` are part of the kernel. Rejects SETUP_FAILED naming what is missing.
 */
export async function loadOrder(
  wanted: readonly string[],
  builtin: ReadonlySet<string>,
  dependenciesOf: (name: string) => Promise<readonly string[] | undefined>,
): Promise<string[]> {
  const ordered: string[] = [];
  const visiting = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (builtin.has(name) || ordered.includes(name) || visiting.has(name)) return;
    visiting.add(name);
    const dependencies = await dependenciesOf(name);
    if (dependencies === undefined) {
      throw new ServiceError("SETUP_FAILED", `Cannot find module "${name}" of the guest kernel`);
    }
    for (const dependency of dependencies) await visit(dependency);
    ordered.push(name);
  };
  for (const name of wanted) await visit(name);
  return ordered;
}
