// A lock on a directory of container storage, held by any number of builds or by one clean-up, across processes. The
// kernel keeps it (flock), so none is left behind by a crash.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { ServiceError } from "../errors.ts";

/** `flock`'s exit code when someone else holds the lock, chosen here. */
const BUSY = 75;

/** Waits until no clean-up runs and keeps clean-ups away until disposed. */
export async function lockForBuild(
  lockPath: string,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const lock = await holdLock(["--shared", lockPath], signal);
  if (lock === undefined) throw new ServiceError("INTERNAL", `Cannot lock "${lockPath}"`);
  return lock;
}

/** Keeps builds away until disposed; undefined at once when one is running. */
export async function lockForCleanup(
  lockPath: string,
  signal: AbortSignal,
): Promise<AsyncDisposable | undefined> {
  return holdLock(["--exclusive", "--nonblock", "-E", String(BUSY), lockPath], signal);
}

/** Node cannot flock: a `cat` holds the lock and ends with its standard input, so also with this process. */
async function holdLock(
  args: readonly string[],
  signal: AbortSignal,
): Promise<AsyncDisposable | undefined> {
  signal.throwIfAborted();
  const child = spawn("flock", [...args, "sh", "-c", "echo held; exec cat"], {
    cwd: "/",
    stdio: ["pipe", "pipe", "ignore"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code));
  });
  exited.catch(() => undefined);
  // The pipe breaks when `flock` gives up; its exit code tells.
  child.stdin.on("error", () => undefined);
  const release = async () => {
    child.stdin.end();
    await exited;
  };
  try {
    const held = once(child.stdout, "data", { signal }).then(() => "held" as const);
    const first = await Promise.race([held, exited]);
    if (first === "held") return { [Symbol.asyncDispose]: release };
    signal.throwIfAborted();
    if (first === BUSY) return undefined;
    throw new ServiceError("INTERNAL", `Command "flock" exited with ${first}`);
  } catch (error) {
    child.kill("SIGKILL");
    if (signal.aborted) throw signal.reason;
    if (error instanceof ServiceError) throw error;
    throw new ServiceError("INTERNAL", 'Cannot start "flock"', { cause: error });
  }
}
