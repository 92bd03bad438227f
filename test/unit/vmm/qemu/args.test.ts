import assert from "node:assert/strict";
import { test } from "node:test";
import type { BootSpec, RestoreSpec } from "../../../../src/vmm/driver.ts";
import {
  bootArguments,
  newHardware,
  parseQemuVersion,
  placedCommand,
  restoreArguments,
} from "../../../../src/vmm/qemu/args.ts";

const placement = { networkNamespace: "ns1", tapName: "tap0", uid: 70001, gid: 70001 };
const common = {
  vmmId: "6f1c2f52-0000-4000-8000-000000000000",
  runDir: "/run/x",
  placement,
  rootfsPath: "/d/rootfs",
  diskPath: "/d/disk",
  memoryPath: "/d/mem,ory",
};
const boot: BootSpec = {
  ...common,
  memoryMiB: 2048,
  vcpus: 1,
  kernelPath: "/k",
  initramfsPath: "/i",
  kernelArguments: ["extra=1"],
};
const hardware = newHardware("7.2", "tcg", boot);
const restore: RestoreSpec = {
  ...common,
  hardware,
  devicesPath: "/d/devices",
  memoryDiffPath: null,
};

function valueOf(args: readonly string[], option: string): string[] {
  return args.flatMap((arg, at) => (arg === option ? [args[at + 1] ?? ""] : []));
}

test("boot and restore give the guest the same devices at the same addresses", () => {
  for (const option of ["-device", "-machine", "-cpu", "-smp", "-m", "-blockdev", "-netdev"]) {
    assert.deepEqual(
      valueOf(bootArguments(boot, hardware), option),
      valueOf(restoreArguments(restore), option),
      option,
    );
  }
});

test("a boot shares its memory with the file, a restore only copies from it", () => {
  const memory = (args: readonly string[]) =>
    valueOf(args, "-object").find((value) => value.startsWith("memory-backend-file"));
  assert.match(memory(bootArguments(boot, hardware)) ?? "", /share=on/);
  assert.match(memory(restoreArguments(restore)) ?? "", /share=off/);
});

test("a restore waits for its state and does not run by itself", () => {
  const args = restoreArguments(restore);
  assert.ok(args.includes("-S"));
  assert.deepEqual(valueOf(args, "-incoming"), ["unix:/run/x/incoming.sock"]);
});

test("every VMM gives up root and may start no program", () => {
  for (const args of [bootArguments(boot, hardware), restoreArguments(restore)]) {
    assert.deepEqual(valueOf(args, "-runas"), ["70001:70001"]);
    assert.match(valueOf(args, "-sandbox")[0] ?? "", /^on,.*spawn=deny/);
  }
});

test("commas in paths are doubled for QEMU", () => {
  assert.ok(
    valueOf(bootArguments(boot, hardware), "-object").some((v) => v.includes("/d/mem,,ory")),
  );
});

test("the machine type carries QEMU's version, so that a snapshot finds it again", () => {
  assert.equal(hardware.machine, "pc-q35-7.2");
  assert.equal(parseQemuVersion("QEMU emulator version 10.0.3 (Debian 1:10.0.3)"), "10.0");
  assert.equal(parseQemuVersion("something else"), undefined);
});

test("a VMM is placed in the network namespace of its slot", () => {
  assert.deepEqual(placedCommand(placement, ["-x"]).slice(0, 4), [
    "nsenter",
    "--net=/run/netns/ns1",
    "--",
    "qemu-system-x86_64",
  ]);
});
