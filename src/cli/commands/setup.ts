// `torpor setup`: makes the machine and a data directory ready.

import { runCommand } from "../../lib/command.ts";
import { setUp } from "../../setup/setup.ts";
import { parseArguments } from "../arguments.ts";

export const SETUP_HELP = `usage: torpor setup [--data-dir DIR] [--config FILE] [--refresh] [--development]

Installs the Debian packages torpor needs (as root) and prepares the guest kernel, the guest agent, the
initramfs and the managed base image in the data directory. What is there already is kept.

  --data-dir DIR   where everything is kept (default /var/lib/torpor)
  --config FILE    TOML file with any setting (docs/configuration.md)
  --refresh        look for a newer kernel and base image, too
  --development    install what the tests and the examples need, too
`;

/** Sets up and resolves with the exit code 0; rejects SETUP_FAILED saying what to do. */
export async function runSetup(args: readonly string[], signal?: AbortSignal): Promise<number> {
  if (args.includes("--help")) {
    process.stdout.write(SETUP_HELP);
    return 0;
  }
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
