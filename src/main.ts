// Entry point of the `torpor` command: picks the command, prints failures as one line, sets the exit code.

import { runDoctor } from "./cli/commands/doctor.ts";
import { runEnv } from "./cli/commands/env.ts";
import { runServe } from "./cli/commands/serve.ts";
import { runSetup } from "./cli/commands/setup.ts";
import { CONFIG_HELP } from "./cli/arguments.ts";
import { isServiceError } from "./errors.ts";

const COMMANDS: Readonly<
  Record<string, { run: (args: string[]) => Promise<number>; summary: string }>
> = {
  setup: {
    run: runSetup,
    summary: "install and build what this machine needs; again only what changed",
  },
  serve: { run: runServe, summary: "run the service (--json prints one line when it is ready)" },
  env: { run: runEnv, summary: "print the exports that point AWS clients at the service" },
  doctor: { run: runDoctor, summary: "check the machine and say what to mend" },
};

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`,
  );
  return `Usage: torpor COMMAND [OPTIONS]\n\nCommands:\n${lines.join("\n")}\n\nOptions:\n${CONFIG_HELP}\n`;
}

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(help());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`torpor: there is no command "${name}"; see torpor --help\n`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    process.stdout.write(`torpor ${name}: ${command.summary}\n\nOptions:\n${CONFIG_HELP}\n`);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    process.stderr.write(`torpor ${name}: ${error.message}\n`);
    return error.code === "VALIDATION_FAILED" ? 2 : 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
