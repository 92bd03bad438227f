// What every VMM driver must do, as one suite over a real guest. `driver.test.ts` runs it for QEMU.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { createGuestClient, type GuestClient } from "../../../src/guest/client.ts";
import { freshIdentity } from "../../../src/host/launch.ts";
import type { Slot } from "../../../src/network/slot.ts";
import type { VmDriver, VmHardware, Vmm } from "../../../src/vmm/driver.ts";
import { createGuestFixture, type GuestFixture, SLEEPER } from "./guest-fixture.ts";

/** Generous: an emulated guest on a busy machine boots in ten seconds. */
const LIMIT_MS = 240_000;

interface Running extends AsyncDisposable {
  readonly vmm: Vmm;
  readonly slot: Slot;
  readonly guest: GuestClient;
}

interface SavedGuest {
  readonly devices: string;
  /** Null for the image's own state. */
  readonly diff: string | null;
  readonly disk: string;
}

/** Registers the suite. `open` is called once; the driver it returns is disposed with `close`. */
export function describeDriverContract(
  name: string,
  open: (signal: AbortSignal) => Promise<{ driver: VmDriver; close: () => Promise<void> }>,
): void {
  describe(`VMM driver ${name}`, { timeout: LIMIT_MS }, () => {
    const signal = AbortSignal.timeout(LIMIT_MS);
    let fixture: GuestFixture;
    let driver: VmDriver;
    let close: () => Promise<void>;
    let hardware: VmHardware;
    const at = (file: string) => path.join(fixture.directory, file);

    before(async () => {
      fixture = await createGuestFixture();
      ({ driver, close } = await open(signal));
      hardware = await snapshotSleeper();
    });

    after(async () => {
      await close();
      await fixture[Symbol.asyncDispose]();
    });

    /** Boots a guest, leaves a mark in its memory, and snapshots it into `memory` and `devices`. */
    async function snapshotSleeper(): Promise<VmHardware> {
      const slot = await fixture.slots.lease({ internet: false }, signal);
      const vmm = await driver.boot(
        {
          ...fixture.place(slot),
          ...{ rootfsPath: fixture.rootfsPath, diskPath: await fixture.makeDisk() },
          ...{ kernelPath: fixture.assets.kernelPath, kernelArguments: [] },
          ...{ initramfsPath: fixture.assets.initramfsPath, memoryPath: at("memory") },
          ...{ memoryMiB: 1024, vcpus: 1 },
        },
        signal,
      );
      const guest = createGuestClient({ address: slot.address, secret: fixture.secret });
      await guest.start({ secret: fixture.secret, container: SLEEPER, ...freshIdentity() }, signal);
      await run(guest, "echo from-boot > /dev/shm/mark");
      await guest.quiesce(signal);
      await vmm.pause(signal);
      await vmm.saveDevices(at("devices"), signal);
      await guest[Symbol.asyncDispose]();
      await vmm[Symbol.asyncDispose]();
      await fixture.slots.release(slot);
      return vmm.hardware;
    }

    async function restore(saved?: SavedGuest): Promise<Running> {
      const slot = await fixture.slots.lease({ internet: false }, signal);
      const vmm = await driver.restore(
        {
          ...fixture.place(slot),
          ...{ rootfsPath: fixture.rootfsPath, diskPath: saved?.disk ?? (await copyDisk()) },
          ...{ hardware, memoryPath: at("memory"), devicesPath: saved?.devices ?? at("devices") },
          memoryDiffPath: saved?.diff ?? null,
        },
        signal,
      );
      assert.notEqual(await vmm.status(signal), "running", "a restored guest waits");
      const guest = createGuestClient({ address: slot.address, secret: fixture.secret });
      await vmm.resume(signal);
      await guest.restored(freshIdentity(), signal);
      return {
        ...{ vmm, slot, guest },
        async [Symbol.asyncDispose]() {
          await guest[Symbol.asyncDispose]();
          await vmm[Symbol.asyncDispose]();
          await fixture.slots.release(slot);
        },
      };
    }

    async function copyDisk(): Promise<string> {
      const copy = at(`copy-${Math.random()}`);
      await copyFile(at("disk-0"), copy);
      return copy;
    }

    async function run(guest: GuestClient, script: string): Promise<string> {
      const result = await guest.exec({ args: ["sh", "-c", script], timeoutMs: 30_000 }, signal);
      assert.equal(result.exitCode, 0, Buffer.from(result.stderr).toString());
      return Buffer.from(result.stdout).toString().trim();
    }

    test("a restored guest has the memory of the snapshot, and clones do not share what they write", async () => {
      await using first = await restore();
      await using second = await restore();
      assert.equal(await run(first.guest, "cat /dev/shm/mark"), "from-boot");
      await run(first.guest, "echo first > /dev/shm/mark");
      await run(second.guest, "echo second > /dev/shm/mark");
      assert.equal(await run(first.guest, "cat /dev/shm/mark"), "first");
      assert.equal(await run(second.guest, "cat /dev/shm/mark"), "second");
    });

    test("clones draw different random numbers and know the time", async () => {
      await using first = await restore();
      await using second = await restore();
      const draw = "head -c 16 /dev/urandom | od -An -tx1";
      assert.notEqual(await run(first.guest, draw), await run(second.guest, draw));
      const seconds = Number(await run(first.guest, "date +%s"));
      assert.ok(Math.abs(seconds - Date.now() / 1000) < 30, `guest clock says ${seconds}`);
    });

    test("memory, processes and disk survive suspend and resume, twice", async () => {
      mkdirSync(at("saved"), { recursive: true });
      let boot = "";
      const disk = await copyDisk();
      let saved: SavedGuest = { devices: at("devices"), diff: null, disk };
      for (const round of [1, 2, 3]) {
        await using running = await restore(saved);
        if (round === 1) {
          boot = await run(
            running.guest,
            "echo kept > /dev/shm/mark; echo kept > /root/file; cat /proc/1/stat",
          );
        } else {
          assert.equal(await run(running.guest, "cat /dev/shm/mark /root/file"), "kept\nkept");
          const start = (stat: string) => stat.split(" ")[21];
          assert.equal(start(await run(running.guest, "cat /proc/1/stat")), start(boot));
        }
        await running.vmm.pause(signal);
        const diff = at(`saved/diff-${round}`);
        saved = { devices: at(`saved/devices-${round}`), diff, disk };
        const { dirtyBytes, bytesWritten } = await running.vmm.saveMemoryDiff(diff, signal);
        await running.vmm.saveDevices(saved.devices, signal);
        assert.ok(dirtyBytes > 0 && dirtyBytes < 256 * 1024 * 1024, `${dirtyBytes} dirty bytes`);
        assert.ok(bytesWritten <= 1.1 * dirtyBytes + 1024 * 1024, `${bytesWritten} written`);
      }
    });

    test("a paused guest goes on where it was", async () => {
      await using running = await restore();
      await running.vmm.pause(signal);
      assert.equal(await running.vmm.status(signal), "paused");
      await running.vmm.resume(signal);
      assert.equal(await running.vmm.status(signal), "running");
      assert.equal(await run(running.guest, "cat /dev/shm/mark"), "from-boot");
    });

    test("a VMM that is killed from outside is noticed, and disposing it is safe twice", async () => {
      await using running = await restore();
      process.kill(running.vmm.pid, "SIGKILL");
      const exit = await running.vmm.exited;
      assert.equal(exit.signal, "SIGKILL");
      assert.equal(await running.vmm.status(signal), "ended");
      await running.vmm[Symbol.asyncDispose]();
      await running.vmm[Symbol.asyncDispose]();
    });

    test("a guest that powers off ends its VMM", async () => {
      await using running = await restore();
      await running.guest.poweroff(signal);
      const exit = await running.vmm.exited;
      assert.equal(exit.exitCode, 0);
    });

    test("damaged device state is refused with the VMM's own words, and nothing is left", async () => {
      const slot = await fixture.slots.lease({ internet: false }, signal);
      const place = fixture.place(slot);
      await writeFile(
        at("bad-devices"),
        (await readFile(at("devices"))).subarray(0, 5000).fill(7, 100, 4000),
      );
      const attempt = driver.restore(
        {
          ...place,
          ...{ rootfsPath: fixture.rootfsPath, diskPath: await copyDisk(), hardware },
          ...{ memoryPath: at("memory"), devicesPath: at("bad-devices"), memoryDiffPath: null },
        },
        signal,
      );
      await assert.rejects(attempt, (error) => {
        assert.ok(isServiceError(error, "VMM_FAILED"));
        assert.match(String(error.details["stderrTail"] ?? error.message), /\w/);
        return true;
      });
      assert.equal(existsSync(path.join(place.runDir, "qmp.sock")), false);
      await fixture.slots.release(slot);
    });

    test("adopt finds nothing where there is no such VMM", async () => {
      const identity = {
        vmmId: "00000000-0000-4000-8000-000000000000",
        runDir: "/run/torpor/none",
        ...{ memoryPath: at("memory"), hardware },
      };
      assert.equal(await driver.adopt(identity, signal), undefined);
      await driver.reap(identity);
    });
  });
}
