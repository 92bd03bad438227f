// The API of the harness in a process of its own, so that its memory can be told from that of the clients. Says its port,
// then its resident memory in bytes whenever it is asked.

import { setTimeout as delay } from "node:timers/promises";
import { startHarness } from "./harness.ts";

const harness = await startHarness();

process.on("message", () => void answer());
process.once("disconnect", () => void harness[Symbol.asyncDispose]());
process.send?.(harness.port);

/** What is garbage already does not count. */
async function answer(): Promise<void> {
  globalThis.gc?.();
  await delay(50);
  globalThis.gc?.();
  process.send?.(process.memoryUsage.rss());
}
