// The guest kernel: Debian's cloud kernel, downloaded and unpacked, never installed on the host. Leaves an uncompressed
// `vmlinux` and the modules every guest needs, uncompressed too, since guests boot under emulation.

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { ServiceError } from "../errors.ts";
import { findDebianArchive, formatRelease, readAptSources } from "./apt-sources.ts";
import type { RunCommand } from "./command.ts";
import { hasPvhEntry, parseElf, readModuleInformation } from "./elf.ts";
import { fingerprintOf, readInputs } from "./fingerprint.ts";
import { decompressPayload, findKernelPayload } from "./kernel-image.ts";
import { GUEST_MODULES, loadOrder, moduleName } from "./kernel-modules.ts";
import { openPrivateApt, type PrivateApt } from "./private-apt.ts";
import { readRelease } from "./release.ts";

/** Debian's package that depends on the newest kernel for virtual machines. */
const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const RECIPE = ["kernel.ts", "kernel-image.ts", "kernel-modules.ts", "elf.ts"];

export interface KernelDeps {
  readonly run: RunCommand;
  readonly doing: (what: string) => void;
}

/** Hash of the inputs found on this machine. */
export async function kernelFingerprint(): Promise<string> {
  const { codename } = await readRelease();
  return fingerprintOf([codename, ...(await readInputs(import.meta.dirname, RECIPE))]);
}

/** Opens a private apt in `directory` on the archives the guest kernel comes from. */
export async function openKernelApt(
  run: RunCommand,
  directory: string,
  signal: AbortSignal,
): Promise<PrivateApt> {
  const { codename } = await readRelease();
  const archive = findDebianArchive(await readAptSources(), codename);
  return openPrivateApt(run, directory, formatRelease(archive, kernelSuites(codename)), signal);
}

/** Debian 12's own kernel has no VMGENID, by which a restored guest reseeds; that of its backports has. */
export function kernelSuites(codename: string): { main: string[]; security: string[] } {
  return codename === "bookworm"
    ? { main: [`${codename}-backports`], security: [] }
    : { main: [codename], security: [`${codename}-security`] };
}

/** The package that holds the kernel itself, as `NAME=VERSION`. */
export async function resolveKernelPackage(apt: PrivateApt, signal: AbortSignal): Promise<string> {
  const fields = await apt.show(KERNEL_PACKAGE, signal);
  const name = /linux-image-[^ ,]*-cloud-amd64/.exec(fields.get("Depends") ?? "")?.[0];
  if (name === undefined) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot find the guest kernel: package "${KERNEL_PACKAGE}" names none`,
    );
  }
  return `${name}=${fields.get("Version") ?? ""}`;
}

/** Fills `directory` with `vmlinux`, `config` and `modules/NN-name.ko` in load order. */
export async function buildKernel(
  deps: KernelDeps,
  options: { readonly directory: string; readonly packageName: string; readonly apt: PrivateApt },
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const { directory, packageName, apt } = options;
  const unpacked = path.join(directory, "unpacked");
  deps.doing(`downloading ${packageName}`);
  const archive = await apt.download(packageName.replace(/=.*/, ""), signal);
  deps.doing(`unpacking ${packageName}`);
  await deps.run("dpkg-deb", ["-x", archive, unpacked], { errorCode: "SETUP_FAILED" }, signal);
  const release = await findRelease(unpacked);
  const vmlinux = await extractVmlinux(deps.run, unpacked, release, signal);
  await writeFile(path.join(directory, "vmlinux"), vmlinux, { mode: 0o644 });
  await rename(path.join(unpacked, `boot/config-${release}`), path.join(directory, "config"));
  const modules = await extractModules(deps.run, unpacked, release, signal);
  await mkdir(path.join(directory, "modules"));
  for (const [index, { name, content }] of modules.entries()) {
    const file = `${String(index).padStart(2, "0")}-${name}.ko`;
    await writeFile(path.join(directory, "modules", file), content, { mode: 0o644 });
  }
  await rm(unpacked, { recursive: true });
  return { release, package: packageName };
}

async function findRelease(unpacked: string): Promise<string> {
  const files = await readdir(path.join(unpacked, "boot"));
  const release = files.find((file) => file.startsWith("vmlinuz-"))?.slice("vmlinuz-".length);
  if (release === undefined) {
    throw new ServiceError("SETUP_FAILED", "Cannot unpack the guest kernel: no kernel in it");
  }
  return release;
}

async function extractVmlinux(
  run: RunCommand,
  unpacked: string,
  release: string,
  signal: AbortSignal,
): Promise<Buffer> {
  const bootImage = await readFile(path.join(unpacked, `boot/vmlinuz-${release}`));
  const vmlinux = await decompressPayload(findKernelPayload(bootImage), async (content) => {
    const file = path.join(unpacked, "payload");
    await writeFile(`${file}.xz`, content);
    await run("xz", ["-d", "--single-stream", `${file}.xz`], {}, signal);
    return readFile(file);
  });
  if (!hasPvhEntry(parseElf(vmlinux, `kernel ${release}`))) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot use guest kernel "${release}": it has no PVH entry point to boot it by`,
    );
  }
  return vmlinux;
}

interface KernelModule {
  readonly name: string;
  readonly content: Buffer;
}

async function extractModules(
  run: RunCommand,
  unpacked: string,
  release: string,
  signal: AbortSignal,
): Promise<KernelModule[]> {
  const root = await findModuleRoot(unpacked, release);
  const builtin = await readFile(path.join(root, "modules.builtin"), "utf8");
  const files = await readdir(root, { recursive: true });
  const paths = new Map(
    files
      .filter((file) => /\.ko(\.xz)?$/.test(file))
      .map((file) => [moduleName(file), path.join(root, file)]),
  );
  const contents = new Map<string, Buffer>();
  const dependenciesOf = async (name: string): Promise<string[] | undefined> => {
    const file = paths.get(name);
    if (file === undefined) return undefined;
    const content = await readModule(run, file, signal);
    contents.set(name, content);
    const information = readModuleInformation(parseElf(content, `module ${name}`));
    const depends = information.get("depends")?.join(",") ?? "";
    return depends
      .split(",")
      .filter((word) => word !== "")
      .map(moduleName);
  };
  const builtinNames = new Set(builtin.split("\n").map(moduleName));
  const order = await loadOrder(GUEST_MODULES, builtinNames, dependenciesOf);
  return order.map((name) => ({ name, content: contents.get(name) ?? Buffer.alloc(0) }));
}

async function readModule(run: RunCommand, file: string, signal: AbortSignal): Promise<Buffer> {
  if (!file.endsWith(".xz")) return readFile(file);
  await run("xz", ["-d", file], { errorCode: "SETUP_FAILED" }, signal);
  return readFile(file.slice(0, -".xz".length));
}

/** Debian moved the modules from `lib` to `usr/lib` with release 13. */
async function findModuleRoot(unpacked: string, release: string): Promise<string> {
  const usr = path.join(unpacked, "usr");
  const isMoved = (await readdir(usr)).includes("lib");
  return path.join(isMoved ? usr : unpacked, "lib/modules", release);
}
