// Entry point of the `torpor` command: picks the command, prints failures as one line, sets the exit code.

import { runDoctor } from "./cli/commands/doctor.ts";
import { runEnv } from "./cli/commands/env.ts";
import { runKeys } from "./cli/commands/keys.ts";
import { runServe } from "./cli/commands/serve.ts";
import { runSetup } from "./cli/commands/setup.ts";
import { runShell } from "./cli/commands/shell.ts";
import { CONFIG_HELP } from "./cli/arguments.ts";
import { isServiceError } from "./errors.ts";
import packageJson from "../package.json" with { type: "json" };

interface Command {
  readonly run: (args: string[]) => Promise<number>;
  readonly summary: string;
  /** Options of this command alone, as help shows them. */
  readonly options: string;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  setup: {
    run: runSetup,
    summary: "install and build what this machine needs; again only what changed",
    options: `  --refresh                   look for a newer guest kernel and base image
  --development               also what \`make test\` needs`,
  },
  serve: {
    run: runServe,
    summary: "run the service; on SIGTERM it ends and running microVMs go on",
    options: `  --json                      print one line of JSON when it serves`,
  },
  env: {
    run: runEnv,
    summary: "print the exports that point AWS clients at the service",
    options: `  --account ID                of this account instead of the one with the root key
  --wait                      wait up to two minutes for the service to serve
  --json                      print one JSON object instead`,
  },
  keys: {
    run: runKeys,
    summary: "make, list and delete access keys of further accounts, also while the service runs",
    options: `  create --account ID         make a key, and with its first one the account
  list                        show all keys without their secrets
  delete KEY                  end a key; what its account has stays
  --json                      print JSON instead; of create with the secret`,
  },
  shell: {
    run: runShell,
    summary: "open a shell in a microVM that has SHELL_INGRESS: torpor shell ID",
    options: `  --account ID                of this account instead of the one with the root key`,
  },
  doctor: { run: runDoctor, summary: "check the machine and say what to mend", options: "" },
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
  if (name === "--version") {
    process.stdout.write(`torpor ${packageJson.version}\n`);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`torpor: there is no command "${name}"; see torpor --help\n`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    const options = [command.options, CONFIG_HELP].filter((text) => text !== "").join("\n");
    process.stdout.write(`torpor ${name}: ${command.summary}\n\nOptions:\n${options}\n`);
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
