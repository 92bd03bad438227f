// What set-up leaves for the service: where the guest kernel, the initramfs and the base images are. Answers only with
// products made from the inputs of today, so that a service never boots an agent of another version than its own.

import { ServiceError } from "../errors.ts";
import { dataPaths } from "../lib/paths.ts";
import { agentFingerprint } from "./agent.ts";
import { BASE_ALIASES, BASE_NAME, baseImageFingerprint } from "./base-image.ts";
import { INITRAMFS_FILE, initramfsFingerprint } from "./initramfs.ts";
import { kernelFingerprint } from "./kernel.ts";
import { findProduct, hasAnyProduct, type Product, productFile } from "./product.ts";

export interface BaseImage {
  readonly name: string;
  /** Names under which builds find it, in full: registry, repository, tag. */
  readonly names: readonly string[];
  /** Directory with an OCI image layout; import it with `buildah pull oci:PATH:NAME`. */
  readonly path: string;
  /** `sha256:…` of the image's manifest. */
  readonly digest: string;
}

export interface Assets {
  /** Uncompressed kernel with a PVH entry point. */
  readonly kernelPath: string;
  readonly kernelRelease: string;
  readonly initramfsPath: string;
  readonly bases: readonly BaseImage[];
}

/**
 * Finds the products of `torpor setup`. Rejects SETUP_FAILED, with `details.missing`, when one is missing or was made
 * from other inputs than those of today.
 */
export async function locateAssets(dataDir: string): Promise<Assets> {
  const paths = dataPaths(dataDir);
  const requireProduct = async (
    name: string,
    home: string,
    fingerprint: string,
  ): Promise<Product> => {
    const product = await findProduct({ name, home, fingerprint });
    if (product !== undefined) return product;
    const problem = (await hasAnyProduct(home, name)) ? "is out of date" : "is missing";
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use "${dataDir}": the ${name} ${problem}; run "${setupCommand(dataDir)}"`,
      { details: { missing: name } },
    );
  };
  const kernel = await requireProduct("kernel", paths.assets, await kernelFingerprint());
  const agent = await requireProduct("agent", paths.assets, await agentFingerprint());
  const initramfs = await requireProduct(
    "initramfs",
    paths.assets,
    await initramfsFingerprint(kernel, agent),
  );
  const base = await requireProduct(BASE_NAME, paths.bases, await baseImageFingerprint());
  return {
    kernelPath: productFile(kernel, "vmlinux"),
    kernelRelease: kernel.facts["release"] ?? "",
    initramfsPath: productFile(initramfs, INITRAMFS_FILE),
    bases: [
      {
        name: BASE_NAME,
        names: BASE_ALIASES,
        path: base.directory,
        digest: base.facts["digest"] ?? "",
      },
    ],
  };
}

/** The command that mends missing or outdated assets. */
export function setupCommand(dataDir: string): string {
  return `torpor setup --data-dir ${dataDir}`;
}
