// What a restarted service makes of what it finds: records, VMMs in every state, saved state in every stage. The VMMs
// are stand-ins; the files are real.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { GuestClient } from "../../../src/guest/client.ts";
import { imageFiles, writeManifest } from "../../../src/host/image-files.ts";
import { type MicrovmFiles, microvmFiles } from "../../../src/host/microvm-files.ts";
import { recoverHost } from "../../../src/host/recover.ts";
import {
  markLaunched,
  readVmmRecords,
  type VmmRecord,
  writeVmmRecord,
} from "../../../src/host/vmm-records.ts";
import { silentLog } from "../../../src/lib/log.ts";
import type { Slot, SlotPool } from "../../../src/network/slot.ts";
import type { VmDriver, VmHardware, Vmm, VmmStatus } from "../../../src/vmm/driver.ts";

const HARDWARE: VmHardware = {
  ...{ driver: "qemu", machine: "pc-q35-7.2", accelerator: "tcg", cpuModel: "max" },
  ...{ memoryMiB: 2048, vcpus: 1 },
};
const IMAGE = "000000000000/us-east-1/app/1.0";
const signal = new AbortController().signal;

describe("recovery of a host", () => {
  let top: string;
  let actions: string[];
  let statuses: Map<string, VmmStatus>;

  beforeEach(async () => {
    top = mkdtempSync(path.join(tmpdir(), "torpor-recover-"));
    actions = [];
    statuses = new Map();
    const image = imageFiles(path.join(top, "images", IMAGE));
    mkdirSync(image.directory, { recursive: true });
    await writeManifest(image, {
      ...{ formatVersion: 1, imageRef: IMAGE, hardware: HARDWARE, agentSecret: "5".repeat(64) },
      ...{ kernelRelease: "6.12", createdAt: 1 },
    });
  });

  afterEach(() => rmSync(top, { recursive: true }));

  const at = (name: string) => path.join(top, name);

  function recover() {
    return recoverHost(
      {
        ...{ driver: driverOf(), slots: slotsOf(), log: silentLog(), vmmsDir: at("vmms") },
        ...{ imagesDir: at("images"), microvmsDir: at("microvms"), buildsDir: at("builds") },
        connectGuest: () => {
          const restored = async () => void actions.push("told");
          return {
            restored,
            [Symbol.asyncDispose]: async () => undefined,
          } as unknown as GuestClient;
        },
      },
      signal,
    );
  }

  function driverOf(): VmDriver {
    const driver = {
      async adopt({ vmmId }: { vmmId: string }) {
        const status = statuses.get(vmmId);
        return status === undefined ? undefined : vmmOf(vmmId, status);
      },
      async reap({ vmmId }: { vmmId: string }) {
        actions.push(`reaped ${vmmId}`);
      },
    };
    return driver as unknown as VmDriver;
  }

  function vmmOf(vmmId: string, status: VmmStatus): Vmm {
    const vmm = {
      ...{ vmmId, pid: 1, hardware: HARDWARE, exited: new Promise(() => undefined) },
      status: async () => status,
      resume: async () => void actions.push(`resumed ${vmmId}`),
      [Symbol.asyncDispose]: async () => void actions.push(`killed ${vmmId}`),
    };
    return vmm as unknown as Vmm;
  }

  function slotsOf(): SlotPool {
    const pool = {
      adopt: async (index: number): Promise<Slot> => ({
        ...{ index, networkNamespace: "ns", tapName: "tap0", address: "100.96.0.2" },
        ...{ uid: 1, gid: 1 },
      }),
      release: async () => undefined,
      reclaim: async () => void actions.push("slots reclaimed"),
    };
    return pool as unknown as SlotPool;
  }

  /** A VMM record of `microvmId` with a process in `status`, or none. */
  async function leave(
    microvmId: string | null,
    phase: VmmRecord["phase"],
    status: VmmStatus | undefined,
  ): Promise<VmmRecord> {
    const record: VmmRecord = {
      ...{ vmmId: randomUUID(), microvmId, imageRef: IMAGE, slotIndex: 3, phase: "launching" },
      ...{ memoryPath: "/x", hardware: microvmId === null ? null : HARDWARE },
    };
    await writeVmmRecord(at("vmms"), record);
    if (phase === "running") await markLaunched(at("vmms"), record);
    if (status !== undefined) statuses.set(record.vmmId, status);
    if (microvmId !== null) mkdirSync(at(`microvms/${microvmId}`), { recursive: true });
    return record;
  }

  function withState(microvmId: string, which: "saved" | "saving" | "used"): MicrovmFiles {
    const files = microvmFiles(at("microvms"), microvmId);
    mkdirSync(files[which].directory, { recursive: true });
    writeFileSync(files[which].memoryDiff, which);
    return files;
  }

  test("a running guest is taken over as it is", async () => {
    const { vmmId } = await leave("m1", "running", "running");
    const { running, suspended } = await recover();
    assert.deepEqual(
      running.map(({ microvmId, launched }) => [microvmId, launched.vmm.vmmId]),
      [["m1", vmmId]],
    );
    assert.deepEqual(suspended, []);
    assert.deepEqual(actions, ["slots reclaimed"]);
    assert.ok(existsSync(at("microvms/m1")));
  });

  test("a guest whose launch was cut off after it ran is told that it is a clone", async () => {
    await leave("m1", "launching", "running");
    assert.equal((await recover()).running.length, 1);
    assert.ok(actions.includes("told"));
    assert.equal((await readVmmRecords(at("vmms"))).records[0]?.phase, "running");
  });

  test("a guest paused in the middle of a suspend without saved state runs on", async () => {
    const { vmmId } = await leave("m1", "running", "paused");
    withState("m1", "saving");
    assert.equal((await recover()).running.length, 1);
    assert.ok(actions.includes(`resumed ${vmmId}`));
    assert.deepEqual(readdirSync(at("microvms/m1")), []);
  });

  test("a guest whose state was saved is ended and counts as suspended", async () => {
    const { vmmId } = await leave("m1", "running", "paused");
    withState("m1", "saved");
    const { running, suspended } = await recover();
    assert.deepEqual([running, suspended], [[], ["m1"]]);
    assert.ok(actions.includes(`killed ${vmmId}`));
    assert.deepEqual((await readVmmRecords(at("vmms"))).records, []);
  });

  test("a wake-up cut off before the guest ran leaves the saved state valid", async () => {
    await leave("m1", "launching", "paused");
    const files = withState("m1", "used");
    const { suspended } = await recover();
    assert.deepEqual(suspended, ["m1"]);
    assert.ok(existsSync(files.saved.memoryDiff));
  });

  test("a state that may have been used is never used again", async () => {
    await leave("m1", "launching", undefined);
    const files = withState("m1", "used");
    const { running, suspended } = await recover();
    assert.deepEqual([running, suspended], [[], []]);
    assert.equal(existsSync(files.directory), false);
  });

  test("a microVM whose VMM is gone and that has no saved state loses its files", async () => {
    await leave("m1", "running", undefined);
    assert.deepEqual((await recover()).running, []);
    assert.deepEqual(readdirSync(at("microvms")), []);
    assert.deepEqual(readdirSync(at("vmms")), []);
  });

  test("the VMM of an interrupted build is ended", async () => {
    const { vmmId } = await leave(null, "launching", "running");
    mkdirSync(at("builds/b1"), { recursive: true });
    assert.deepEqual((await recover()).running, []);
    assert.ok(actions.includes(`reaped ${vmmId}`));
    assert.equal(existsSync(at("builds")), false);
  });

  test("a directory without a usable record is removed", async () => {
    const vmmId = randomUUID();
    mkdirSync(at(`vmms/${vmmId}`), { recursive: true });
    writeFileSync(at(`vmms/${vmmId}.json`), "{");
    await recover();
    assert.deepEqual(readdirSync(at("vmms")), []);
  });
});
