// An apt of our own: its lists, cache and package state are in a directory we remove, so that looking up and
// downloading packages changes nothing on the host. The host's proxy settings and keys stay in force.

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { ServiceError } from "../errors.ts";
import type { RunCommand } from "./command.ts";

export interface PrivateApt {
  /** The package's control fields for its candidate version. */
  show(packageName: string, signal: AbortSignal): Promise<Map<string, string>>;
  /** Downloads one package, checked against the archive's signature, and resolves with its path. */
  download(packageName: string, signal: AbortSignal): Promise<string>;
  /** Changes whenever the archives' contents do. */
  readonly archiveState: string;
}

/** Sets up a private apt in `directory` (empty, caller removes it) with deb822 `sources` and fetches their indexes. */
export async function openPrivateApt(
  run: RunCommand,
  directory: string,
  sources: string,
  signal: AbortSignal,
): Promise<PrivateApt> {
  const at = (name: string) => path.join(directory, name);
  for (const name of ["lists/partial", "cache/archives/partial", "sources.d", "packages"]) {
    await mkdir(at(name), { recursive: true });
  }
  await writeFile(at("status"), "");
  await writeFile(at("sources.d/torpor.sources"), sources);
  const options = [
    `Dir::State=${directory}`,
    `Dir::State::status=${at("status")}`,
    `Dir::Cache=${at("cache")}`,
    "Dir::Etc::sourcelist=/dev/null",
    `Dir::Etc::sourceparts=${at("sources.d")}`,
    "Dir::Etc::preferences=/dev/null",
    "Dir::Etc::preferencesparts=/dev/null",
    // Everything is under our own directory, which apt's download user could not enter.
    "APT::Sandbox::User=root",
    "APT::Update::Error-Mode=any",
    "Acquire::Languages=none",
    "Acquire::Retries=3",
  ].flatMap((option) => ["-o", option]);
  const inApt = (program: string, args: string[], stop: AbortSignal) =>
    run(program, [...options, ...args], { cwd: at("packages"), errorCode: "SETUP_FAILED" }, stop);
  await inApt("apt-get", ["update"], signal);
  return {
    archiveState: await readArchiveState(at("lists")),
    async show(packageName, stop) {
      const text = await inApt("apt-cache", ["show", "--no-all-versions", packageName], stop);
      return parseControlFields(text);
    },
    async download(packageName, stop) {
      await inApt("apt-get", ["download", packageName], stop);
      const files = await readdir(at("packages"));
      const file = files.find((name) => name.startsWith(`${packageName}_`));
      if (file === undefined) {
        throw new ServiceError("SETUP_FAILED", `Cannot download package "${packageName}"`);
      }
      return path.join(at("packages"), file);
    },
  };
}

async function readArchiveState(lists: string): Promise<string> {
  const releases = (await readdir(lists)).filter((name) => name.endsWith("Release")).sort();
  const dates = releases.map(async (name) => {
    const text = await readFile(path.join(lists, name), "utf8");
    const suite = /^Codename: (.*)$/m.exec(text)?.[1] ?? name;
    return `${suite} ${/^Date: (.*)$/m.exec(text)?.[1] ?? "undated"}`;
  });
  return (await Promise.all(dates)).join("; ");
}

/** The first stanza of Debian control text; a continued field keeps its first line only. */
export function parseControlFields(text: string): Map<string, string> {
  const stanza = text.split("\n\n")[0] ?? "";
  return new Map(
    stanza.split("\n").flatMap((line) => {
      const match = /^([A-Za-z0-9-]+): ?(.*)$/.exec(line);
      return match?.[1] === undefined ? [] : [[match[1], match[2] ?? ""] as const];
    }),
  );
}
