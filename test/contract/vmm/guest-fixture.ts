// What the driver contract needs to put a real guest on: the kernel and agent that `torpor setup` made, a root file
// system from the managed base, a slot.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { randomBytes, randomUUID } from "node:crypto";
import { createDisk } from "../../../src/builder/rootfs.ts";
import type { ContainerSpec } from "../../../src/guest/protocol.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { GUEST_NETWORK, type Slot, type SlotPool } from "../../../src/network/slot.ts";
import { createSlotPool } from "../../../src/network/slots.ts";
import { locateAssets, type Assets } from "../../../src/setup/assets.ts";
import type { VmPlacement } from "../../../src/vmm/driver.ts";

const REPOSITORY = path.resolve(import.meta.dirname, "../../..");

/** Directory with what `torpor setup` made. */
export const SETUP_DIR = process.env["TORPOR_TEST_SETUP_DIR"] ?? path.join(REPOSITORY, ".torpor");

export interface GuestFixture extends AsyncDisposable {
  readonly directory: string;
  readonly assets: Assets;
  readonly rootfsPath: string;
  readonly secret: string;
  readonly slots: SlotPool;
  /** A new disk for one VMM. */
  makeDisk(): Promise<string>;
  /** The VMM's id, its own directory and its place on the host. */
  place(slot: Slot): { vmmId: string; runDir: string; placement: VmPlacement };
}

/** Makes everything below one temporary directory; disposing removes it and the slots. */
export async function createGuestFixture(): Promise<GuestFixture> {
  const directory = mkdtempSync(path.join(tmpdir(), "torpor-vmm-"));
  await using acquired = new AsyncDisposableStack();
  acquired.defer(() => rmSync(directory, { recursive: true, force: true }));
  const assets = await locateAssets(SETUP_DIR);
  const rootfsPath = packBase(assets, directory);
  const slots = acquired.use(
    await createSlotPool(
      { log: silentLog() },
      { dataDir: directory, cidr: "100.97.0.0/20", ready: 1, max: 8, uidBase: 1_879_100_000 },
    ),
  );
  const runTop = `/run/torpor/test-${randomBytes(4).toString("hex")}`;
  mkdirSync(runTop, { recursive: true, mode: 0o711 });
  acquired.defer(() => rmSync(runTop, { recursive: true, force: true }));
  const resources = acquired.move();
  let disks = 0;
  return {
    ...{ directory, assets, rootfsPath, slots, secret: randomBytes(32).toString("hex") },
    async makeDisk() {
      const disk = path.join(directory, `disk-${disks++}`);
      await createDisk(disk, 1024, AbortSignal.timeout(30_000));
      return disk;
    },
    place(slot) {
      const vmmId = randomUUID();
      const runDir = path.join(runTop, vmmId);
      mkdirSync(runDir, { mode: 0o700 });
      return { vmmId, runDir, placement: slot };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The managed base's layers as a root file system. */
function packBase(assets: Assets, directory: string): string {
  const [base] = assets.bases;
  if (base === undefined) throw new Error("torpor setup made no base image");
  const tree = path.join(directory, "tree");
  mkdirSync(tree);
  const script = `
    set -eu
    manifest=$(sed -n 's/.*"digest":"sha256:\\([0-9a-f]*\\)".*/\\1/p' "$1/index.json")
    for layer in $(grep -o '"layers":.*' "$1/blobs/sha256/$manifest" | grep -o 'sha256:[0-9a-f]*' | cut -d: -f2); do
      tar -xf "$1/blobs/sha256/$layer" -C "$2"
    done
    mkfs.erofs --quiet "$3" "$2" > /dev/null`;
  const rootfsPath = path.join(directory, "rootfs");
  execFileSync("sh", ["-c", script, "sh", base.path, tree, rootfsPath]);
  rmSync(tree, { recursive: true });
  return rootfsPath;
}

/** An application that does nothing, for tests that look at the guest through `exec`. */
export const SLEEPER: ContainerSpec = {
  args: ["sleep", "100000"],
  env: [],
  workingDir: "/",
  user: "",
  hostname: "localhost",
  nameservers: [GUEST_NETWORK.gatewayAddress],
  allCapabilities: false,
};
