// `torpor setup`: makes the machine and a data directory ready. `--refresh` looks for newer packages of what is there;
// `--development` installs what the tests and the examples need, too.

import { runCommand } from "../../lib/command.ts";
import { setUp } from "../../setup/setup.ts";
import { parseArguments } from "../arguments.ts";

/** Sets up and resolves with the exit code 0; rejects SETUP_FAILED saying what to do. */
export async function runSetup(args: readonly string[], signal?: AbortSignal): Promise<number> {
  const { config, flags } = parseArguments(args, ["refresh", "development"]);
  const write = (line: string) => process.stdout.write(`${line}\n`);
  await setUp(
    { run: runCommand, write, now: Date.now, isRoot: process.getuid?.() === 0 },
    {
      dataDir: config.dataDir,
      refresh: flags.has("refresh"),
      development: flags.has("development"),
    },
    signal ?? new AbortController().signal,
  );
  write(`Set up: "${config.dataDir}" is ready`);
  return 0;
}
