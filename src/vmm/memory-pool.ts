// Worker threads that move guest memory to and from disk, so that the event loop never waits for it.

import { Worker } from "node:worker_threads";
import { ServiceError } from "../errors.ts";
import type { MemoryDiffResult } from "./driver.ts";
import type { MemoryReply, MemoryRequest } from "./memory-worker.ts";

export interface MemoryPool extends AsyncDisposable {
  /** Saves the dirty pages of the paused process to `diffPath`, synced. Rejects VMM_FAILED or STORAGE_FULL. */
  write(pid: number, memoryPath: string, diffPath: string): Promise<MemoryDiffResult>;
  /** Loads saved pages into a process that does not run yet. Rejects VMM_FAILED. */
  apply(pid: number, memoryPath: string, diffPath: string): Promise<void>;
}

interface Lane {
  readonly worker: Worker;
  readonly waiting: Map<number, PromiseWithResolvers<MemoryDiffResult>>;
}

/** Starts `lanes` threads; each takes one request at a time, the least busy one is asked. */
export function createMemoryPool(lanes: number): MemoryPool {
  let nextId = 0;
  let isDisposed = false;
  const pool = Array.from({ length: lanes }, () => createLane());

  function ask(request: Omit<MemoryRequest, "id">): Promise<MemoryDiffResult> {
    if (isDisposed) return Promise.reject(lost("the service is stopping"));
    const lane = pool.reduce((best, other) =>
      other.waiting.size < best.waiting.size ? other : best,
    );
    const id = nextId++;
    const pending = Promise.withResolvers<MemoryDiffResult>();
    lane.waiting.set(id, pending);
    lane.worker.ref();
    lane.worker.postMessage({ ...request, id });
    return pending.promise;
  }

  return {
    write: (pid, memoryPath, diffPath) => ask({ do: "write", pid, memoryPath, diffPath }),
    apply: async (pid, memoryPath, diffPath) => {
      await ask({ do: "apply", pid, memoryPath, diffPath });
    },
    async [Symbol.asyncDispose]() {
      isDisposed = true;
      await Promise.all(pool.map((lane) => lane.worker.terminate()));
    },
  };
}

function createLane(): Lane {
  const lane: Lane = {
    worker: new Worker(new URL("./memory-worker.ts", import.meta.url)),
    waiting: new Map(),
  };
  lane.worker.unref();
  lane.worker.on("message", (reply: MemoryReply) => settle(lane, reply));
  const failAll = (why: string) => {
    for (const pending of lane.waiting.values()) pending.reject(lost(why));
    lane.waiting.clear();
  };
  lane.worker.on("error", (error: Error) => failAll(error.message));
  lane.worker.on("exit", () => failAll("the thread ended"));
  return lane;
}

function settle(lane: Lane, reply: MemoryReply): void {
  const pending = lane.waiting.get(reply.id);
  lane.waiting.delete(reply.id);
  if (lane.waiting.size === 0) lane.worker.unref();
  if (reply.result !== undefined) {
    pending?.resolve(reply.result);
  } else {
    const { message, errno } = reply.failure ?? { message: "no answer", errno: null };
    const code = errno === "ENOSPC" || errno === "EDQUOT" ? "STORAGE_FULL" : "VMM_FAILED";
    pending?.reject(new ServiceError(code, message, { details: { errno } }));
  }
}

function lost(why: string): ServiceError {
  return new ServiceError("VMM_FAILED", `Cannot move guest memory: ${why}`);
}
