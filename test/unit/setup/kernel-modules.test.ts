import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadOrder, moduleName } from "../../../src/setup/kernel-modules.ts";

const DEPENDENCIES: Readonly<Record<string, readonly string[]>> = {
  virtio_net: ["net_failover", "virtio_ring"],
  net_failover: ["failover"],
  failover: [],
  erofs: ["libcrc32c"],
  libcrc32c: [],
  left: ["right"],
  right: ["left"],
};

const dependenciesOf = async (name: string) => DEPENDENCIES[name];
const BUILTIN = new Set(["virtio_ring"]);

describe("loadOrder", () => {
  it("puts dependencies before what needs them", async () => {
    const order = await loadOrder(["virtio_net", "erofs"], BUILTIN, dependenciesOf);
    assert.deepEqual(order, ["failover", "net_failover", "virtio_net", "libcrc32c", "erofs"]);
  });

  it("names a module once, however many need it", async () => {
    const order = await loadOrder(["failover", "virtio_net"], BUILTIN, dependenciesOf);
    assert.deepEqual(order, ["failover", "net_failover", "virtio_net"]);
  });

  it("leaves out what the kernel has built in", async () => {
    assert.deepEqual(await loadOrder(["virtio_ring"], BUILTIN, dependenciesOf), []);
  });

  it("ends for modules that need each other", async () => {
    assert.deepEqual(await loadOrder(["left"], BUILTIN, dependenciesOf), ["right", "left"]);
  });

  it("names the module that is missing", async () => {
    await assert.rejects(loadOrder(["overlay"], BUILTIN, dependenciesOf), {
      code: "SETUP_FAILED",
      message: 'Cannot find module "overlay" of the guest kernel',
    });
  });
});

describe("moduleName", () => {
  it("spells a file as the kernel does", () => {
    assert.equal(moduleName("kernel/drivers/char/hw_random/virtio-rng.ko.xz"), "virtio_rng");
    assert.equal(moduleName("kernel/fs/ext4/ext4.ko"), "ext4");
  });
});
