// The guest agent: built from `agent/` by cargo, one static binary.

import { copyFile, readFile } from "node:fs/promises";
import path from "node:path";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { ServiceError } from "../errors.ts";
import type { RunCommand } from "./command.ts";
import { isStaticProgram, parseElf } from "./elf.ts";
import { fingerprintOf, listFiles, readInputs } from "./fingerprint.ts";

/** The crate's sources, beside `src/`. */
export const AGENT_ROOT = path.resolve(import.meta.dirname, "../../agent");
export const AGENT_FILE = "torpor-agent";

const RECIPE = ["agent.ts"];

export interface AgentDeps {
  readonly run: RunCommand;
  readonly doing: (what: string) => void;
  readonly onOutput: (chunk: string) => void;
}

/** Hash of the agent's sources and lock file. */
export async function agentFingerprint(): Promise<string> {
  // Tests and notes beside the sources do not change the binary.
  const skipped = new Set(["target", "tests", "README.md"]);
  const sources = await listFiles(AGENT_ROOT, skipped);
  return fingerprintOf([
    ...(await readInputs(AGENT_ROOT, sources)),
    ...(await readInputs(import.meta.dirname, RECIPE)),
  ]);
}

const manifest = z.object({ package: z.object({ "rust-version": z.string() }) });

/** The oldest Rust the agent's manifest accepts. */
export async function readRequiredRustVersion(root = AGENT_ROOT): Promise<string> {
  const text = await readFile(path.join(root, "Cargo.toml"), "utf8");
  return manifest.parse(parseToml(text)).package["rust-version"];
}

/** Builds the agent into `directory`. Rejects SETUP_FAILED when cargo fails or the binary is not static. */
export async function buildAgent(
  deps: AgentDeps,
  directory: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  deps.doing("compiling");
  const args = ["build", "--release", "--locked", "--message-format=json-render-diagnostics"];
  const text = await deps.run(
    "cargo",
    args,
    // agent/.cargo/config.toml, which makes the binary static, counts only from inside that directory.
    {
      cwd: AGENT_ROOT,
      errorCode: "SETUP_FAILED",
      onOutput: (chunk) => {
        if (!chunk.startsWith("{")) deps.onOutput(chunk);
      },
    },
    signal,
  );
  const executable = findExecutable(text);
  const target = path.join(directory, AGENT_FILE);
  await copyFile(executable, target);
  if (!isStaticProgram(parseElf(await readFile(target), "the guest agent"))) {
    throw new ServiceError(
      "SETUP_FAILED",
      'Cannot use the guest agent: its binary is not static; check "agent/.cargo/config.toml" and RUSTFLAGS',
    );
  }
  return { rust: (await deps.run("cargo", ["--version"], {}, signal)).trim() };
}

const artifactMessage = z.object({
  reason: z.literal("compiler-artifact"),
  executable: z.string(),
});

/** The one program among cargo's JSON messages. */
export function findExecutable(messages: string): string {
  const executables = messages.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const message = artifactMessage.safeParse(JSON.parse(line));
    return message.success ? [message.data.executable] : [];
  });
  const [executable] = executables;
  if (executable === undefined || executables.length > 1) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot build the guest agent: cargo made ${executables.length} programs instead of one`,
    );
  }
  return executable;
}
