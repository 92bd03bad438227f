// The log of one image build: a file that grows while the build goes on, for people to follow.

import { type FileHandle, mkdir, open } from "node:fs/promises";
import path from "node:path";

export interface BuildLog extends AsyncDisposable {
  /** Adds a line with the time in front; output of programs may come in pieces of any size. */
  line(text: string): void;
}

/** Longest log kept; a build that prints more goes on, its log says that it was cut. */
const LOG_LIMIT_BYTES = 64 * 1024 * 1024;

/** Starts the log at `file`, replacing one of an earlier, interrupted build of the same version. */
export async function openBuildLog(file: string): Promise<BuildLog> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, "w", 0o600);
  let written = 0;
  let tail: Promise<unknown> = Promise.resolve();
  const write = (text: string) => {
    tail = tail.then(() => append(handle, text));
  };
  return {
    line(text) {
      const entry = `${new Date().toISOString()} ${text.replace(/\n+$/, "")}\n`;
      if (written > LOG_LIMIT_BYTES) return;
      written += entry.length;
      write(
        written > LOG_LIMIT_BYTES ? "… the log is cut here: it reached its size limit\n" : entry,
      );
    },
    async [Symbol.asyncDispose]() {
      await tail;
      await handle.close();
    },
  };
}

/** A log that cannot be written, on a full disk for one, must not fail the build by itself: the build will say why. */
async function append(handle: FileHandle, text: string): Promise<void> {
  await handle.appendFile(text).catch(() => undefined);
}
