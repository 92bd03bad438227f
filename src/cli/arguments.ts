// The options that every command understands, and how they become a Config.

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { loadConfig, type Config, type ConfigInput } from "../config.ts";
import { messageOf, ServiceError } from "../errors.ts";

const CONFIG_OPTIONS = {
  config: { type: "string", short: "c" },
  "data-dir": { type: "string" },
  listen: { type: "string" },
  "ingress-listen": { type: "string" },
  "log-level": { type: "string" },
} as const satisfies ParseArgsOptionsConfig;

export const CONFIG_HELP = `  --data-dir DIR              where everything is kept (default /var/lib/torpor)
  --config, -c FILE           TOML file with any setting (docs/configuration.md)
  --listen HOST:PORT          API and artifact store (default 127.0.0.1:7070)
  --ingress-listen HOST:PORT  TLS endpoint of the microVMs (default 127.0.0.1:7443)
  --log-level LEVEL           debug, info, warn or error (default info)`;

export interface ParsedArguments {
  readonly config: Config;
  /** The command's own flags that were given. */
  readonly flags: ReadonlySet<string>;
  /** The command's own options that were given, with their values. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
}

interface OwnArguments {
  /** Names of options with a value. */
  readonly options?: readonly string[];
  /** Whether words that are no options are taken. */
  readonly positionals?: boolean;
}

/** Reads the common options and what one command takes beside them. Throws VALIDATION_FAILED for anything else. */
export function parseArguments(
  args: readonly string[],
  flags: readonly string[] = [],
  { options = [], positionals: allowPositionals = false }: OwnArguments = {},
): ParsedArguments {
  const own: ParseArgsOptionsConfig = Object.fromEntries([
    ...flags.map((flag) => [flag, { type: "boolean" }]),
    ...options.map((option) => [option, { type: "string" }]),
  ]);
  let values: Record<string, unknown>;
  let positionals: readonly string[];
  try {
    ({ values, positionals } = parseArgs({
      args: [...args],
      options: { ...CONFIG_OPTIONS, ...own },
      strict: true,
      allowPositionals,
    }));
  } catch (error) {
    throw new ServiceError("VALIDATION_FAILED", `${messageOf(error)}; see torpor --help`, {
      cause: error,
    });
  }
  const text = (name: string) => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  const overrides = {
    dataDir: text("data-dir"),
    listen: text("listen"),
    ingressListen: text("ingress-listen"),
    logLevel: text("log-level") as ConfigInput["logLevel"],
  };
  return {
    config: loadConfig(text("config"), overrides as Partial<ConfigInput>),
    flags: new Set(flags.filter((flag) => values[flag] === true)),
    values: new Map(
      options.flatMap((option) => {
        const value = text(option);
        return value === undefined ? [] : [[option, value]];
      }),
    ),
    positionals,
  };
}
