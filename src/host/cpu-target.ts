// What kind of processor this host builds images for and runs them on, in the service's terms. The service's own names
// of chipsets are those of its machines; any other is generic.

import { ServiceError } from "../errors.ts";
import type { CpuTarget } from "../images/records.ts";

const ARCHITECTURES: Readonly<Record<string, CpuTarget["architecture"]>> = {
  x64: "X86_64",
  arm64: "ARM_64",
};

/** The target of a machine whose architecture Node calls `arch`. Throws SETUP_FAILED for one that cannot be a host. */
export function cpuTargetOf(arch: string): CpuTarget {
  const architecture = ARCHITECTURES[arch];
  if (architecture === undefined)
    throw new ServiceError("SETUP_FAILED", `Cannot run microVMs on a machine of kind "${arch}"`);
  return { architecture, chipset: "GENERIC", chipsetGeneration: "1" };
}
