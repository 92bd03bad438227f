// Which Debian this machine is. Set-up takes packages, a kernel and a base from it and works on no other system.

import { readFile } from "node:fs/promises";
import { hasErrorCode, ServiceError } from "../errors.ts";

export interface DebianRelease {
  readonly codename: string;
  readonly versionId: string;
}

/** Oldest Debian with a QEMU and a buildah that can do what torpor needs. */
const OLDEST_VERSION = 12;

/** Reads the release from an os-release file's text. Rejects SETUP_FAILED when it is not Debian 12 or newer. */
export function parseOsRelease(text: string): DebianRelease {
  const fields = new Map(
    text.split("\n").flatMap((line) => {
      const match = /^([A-Z_]+)="?([^"]*)"?$/.exec(line.trim());
      return match?.[1] === undefined ? [] : [[match[1], match[2] ?? ""] as const];
    }),
  );
  const codename = fields.get("VERSION_CODENAME") ?? "";
  const versionId = fields.get("VERSION_ID") ?? "";
  if (fields.get("ID") !== "debian" || codename === "" || !(Number(versionId) >= OLDEST_VERSION)) {
    const name = fields.get("PRETTY_NAME") ?? "this system";
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot set up on "${name}": needs Debian ${OLDEST_VERSION} or newer`,
    );
  }
  return { codename, versionId };
}

/** The release of this machine. Rejects SETUP_FAILED when it is not Debian 12 or newer. */
export async function readRelease(file = "/etc/os-release"): Promise<DebianRelease> {
  try {
    return parseOsRelease(await readFile(file, "utf8"));
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
    throw new ServiceError("SETUP_FAILED", "Cannot set up: no os-release file names this system");
  }
}
