// Worker thread of memory-pool.ts: does the bulk reads and writes of memory-diff.ts one request at a time.

import { parentPort } from "node:worker_threads";
import { ServiceError } from "../errors.ts";
import { applyMemoryDiff, writeMemoryDiff } from "./memory-diff.ts";

export type MemoryRequest =
  | {
      readonly id: number;
      readonly do: "write";
      readonly pid: number;
      readonly memoryPath: string;
      readonly diffPath: string;
    }
  | {
      readonly id: number;
      readonly do: "apply";
      readonly pid: number;
      readonly memoryPath: string;
      readonly diffPath: string;
    };

export interface MemoryReply {
  readonly id: number;
  readonly result?: { readonly dirtyBytes: number; readonly bytesWritten: number };
  /** System error code, such as ENOSPC, when the failure was not one of ours. */
  readonly failure?: { readonly message: string; readonly errno: string | null };
}

parentPort?.on("message", (request: MemoryRequest) => {
  parentPort?.postMessage(answer(request));
});

function answer(request: MemoryRequest): MemoryReply {
  const { id, pid, memoryPath, diffPath } = request;
  try {
    if (request.do === "write") return { id, result: writeMemoryDiff(pid, memoryPath, diffPath) };
    applyMemoryDiff(pid, memoryPath, diffPath);
    return { id, result: { dirtyBytes: 0, bytesWritten: 0 } };
  } catch (error) {
    if (error instanceof ServiceError)
      return { id, failure: { message: error.message, errno: null } };
    if (error instanceof Error) {
      const errno = "code" in error && typeof error.code === "string" ? error.code : null;
      return { id, failure: { message: error.message, errno } };
    }
    throw error;
  }
}
