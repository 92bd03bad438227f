import { createMemoryPool } from "../../../src/vmm/memory-pool.ts";
import { createQemuDriver, readQemuVersion } from "../../../src/vmm/qemu/driver.ts";
import { describeDriverContract } from "./driver-contract.ts";

describeDriverContract("qemu with tcg", async (signal) => {
  const memory = createMemoryPool(2);
  const qemuVersion = await readQemuVersion(signal);
  return {
    driver: createQemuDriver({ accelerator: "tcg", qemuVersion, memory }),
    close: async () => memory[Symbol.asyncDispose](),
  };
});
