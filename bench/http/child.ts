// Programs of a bench that run on a core of their own, so that what is measured and what measures it do not share one.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

/** A running program. Disposing it ends it and waits until it is gone. */
export interface PinnedChild<Message, Answer> extends AsyncDisposable {
  /** Sends a message and resolves with the answer to it; one at a time. Rejects when the program ends instead. */
  ask(message: Message): Promise<Answer>;
  readonly pid: number;
}

/** Starts a program of `bench/http/` on one core. Rejects when it ends before its first message, which says that it is ready. */
export async function startPinned<Message extends object, Ready, Answer>(
  program: string,
  core: number,
  argument: object = {},
): Promise<{ readonly child: PinnedChild<Message, Answer>; readonly ready: Ready }> {
  const script = path.join(import.meta.dirname, program);
  // As `bin/torpor` starts Node.
  const flags = ["--max-semi-space-size=64", "--disable-warning=ExperimentalWarning"];
  const options = [...flags, script, JSON.stringify(argument)];
  const child = spawn("taskset", ["--cpu-list", String(core), process.execPath, ...options], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  const ready = (await nextMessage(child, program)) as Ready;
  return {
    ready,
    child: {
      pid: child.pid ?? 0,
      async ask(message) {
        child.send(message);
        return (await nextMessage(child, program)) as Answer;
      },
      async [Symbol.asyncDispose]() {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      },
    },
  };
}

async function nextMessage(child: ChildProcess, program: string): Promise<unknown> {
  using listening = new DisposableStack();
  const abort = new AbortController();
  listening.defer(() => abort.abort());
  const { signal } = abort;
  const message = once(child, "message", { signal }).then(([value]: unknown[]) => value);
  const end = once(child, "exit", { signal }).then(() => {
    throw new Error(`"${program}" ended without an answer`);
  });
  // The loser is aborted with the winner's return; that is not a failure.
  for (const loser of [message, end]) loser.catch(() => undefined);
  return await Promise.race([message, end]);
}
