// `torpor setup`: makes the machine and a data directory ready. `--refresh` looks for newer packages of what is there;
// `--development` installs what the tests and the examples need, too.

import { ServiceError } from "../../errors.ts";
import { runCommand } from "../../lib/command.ts";
import { setUp } from "../../setup/setup.ts";
import { parseArguments } from "../arguments.ts";

/** Sets up and resolves with the exit code 0; rejects SETUP_FAILED saying what to do. */
export async function runSetup(args: readonly string[]): Promise<number> {
  const { config, flags } = parseArguments(args, ["refresh", "development"]);
  const write = (line: string) => process.stdout.write(`${line}\n`);
  using interruption = abortOnSignals();
  await setUp(
    { run: runCommand, write, now: Date.now, isRoot: process.getuid?.() === 0 },
    {
      dataDir: config.dataDir,
      refresh: flags.has("refresh"),
      development: flags.has("development"),
    },
    interruption.signal,
  );
  write(`Set up: "${config.dataDir}" is ready`);
  return 0;
}

/** The programs that set-up runs are in process groups of their own and must be told of an interruption. */
function abortOnSignals(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const names = ["SIGINT", "SIGTERM"] as const;
  const abort = (name: string) => {
    const message = `Interrupted by ${name}; run it again to go on from there`;
    controller.abort(new ServiceError("SETUP_FAILED", message));
  };
  for (const name of names) process.once(name, abort);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, abort);
    },
  };
}
