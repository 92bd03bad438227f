// A real service on a data directory of its own, with what `torpor setup` made linked in; and the proof, at the end,
// that it left nothing behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ListMicrovmsCommand, TerminateMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import {
  type Clients,
  createClients,
  createImage,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipDirectory,
} from "../../../scripts/walkthrough/client.ts";
import {
  REPOSITORY,
  type RunningService,
  startService,
} from "../../../scripts/walkthrough/service.ts";

/** Directory with what `torpor setup` made. */
const SETUP_DIR = process.env["TORPOR_TEST_SETUP_DIR"] ?? path.join(REPOSITORY, ".torpor");
const SHARED = ["assets", "bases"] as const;

export interface TestService extends AsyncDisposable {
  readonly dataDir: string;
  service: RunningService;
  clients: Clients;
  /** Lines of the service's log, of all its processes in turn. */
  readonly log: string[];
  /** Starts a new process on the same data directory; the old one must be gone. */
  restart(): Promise<void>;
}

export interface TestServiceOptions {
  /** Existing empty directory to use, for tests that bring a file system of their own. */
  readonly dataDir?: string;
  /** TOML. */
  readonly config?: string;
}

/** Starts a service. Disposing it terminates what runs, stops it and asserts that nothing is left. */
export async function startTestService(options: TestServiceOptions = {}): Promise<TestService> {
  const dataDir = options.dataDir ?? mkdtempSync(path.join(tmpdir(), "torpor-e2e-"));
  for (const name of SHARED) symlinkSync(path.join(SETUP_DIR, name), path.join(dataDir, name));
  const remembered = path.join(SETUP_DIR, "accelerator.json");
  if (existsSync(remembered)) copyFileSync(remembered, path.join(dataDir, "accelerator.json"));
  const log: string[] = [];
  const configPath = path.join(dataDir, "config.toml");
  if (options.config !== undefined) writeFileSync(configPath, options.config);
  const configured = options.config !== undefined && { configPath };
  const start = () => startService({ dataDir, ...configured, onLog: (line) => log.push(line) });
  const service = await start().catch((error: unknown) => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    throw error;
  });
  const test: TestService = {
    ...{ dataDir, service, clients: createClients(service), log },
    async restart() {
      test.clients[Symbol.dispose]();
      test.service = await start();
      test.clients = createClients(test.service);
    },
    async [Symbol.asyncDispose]() {
      try {
        await terminateAll(test.clients);
        rememberAccelerator(dataDir, remembered);
        test.clients[Symbol.dispose]();
        await test.service.stop();
        await assertNothingLeft(dataDir);
      } catch (error) {
        process.stderr.write(`${log.slice(-40).join("\n")}\n`);
        throw error;
      } finally {
        await test.service.kill();
        if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
      }
    },
  };
  return test;
}

/** Builds the counter application (test/e2e/apps/counter) and returns the image's ARN. */
export async function buildCounter(clients: Clients, name = "counter"): Promise<string> {
  const zip = await zipDirectory(path.join(import.meta.dirname, "../apps/counter"));
  const uri = await uploadArtifact(clients, `${name}.zip`, zip);
  const imageArn = await createImage(clients, name, uri);
  const version = await waitForBuild(clients, imageArn);
  assert.equal(version.state, "SUCCESSFUL", buildLog(clients, name));
  return imageArn;
}

/** The log of an image's first build. */
export function buildLog({ service, account, region }: Clients, name: string): string {
  const file = path.join(service.dataDir, "logs/images", account, region, name, "1.0.log");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/** Ids of the VMM processes of this data directory that run. */
export function vmmPids(dataDir: string): number[] {
  const marker = runtimeDirectory(dataDir);
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && commandLine(entry).includes(marker))
    .map(Number);
}

async function terminateAll(clients: Clients): Promise<void> {
  let nextToken: string | undefined;
  do {
    const page = await clients.microvms.send(
      new ListMicrovmsCommand({
        maxResults: 50,
        ...(nextToken === undefined ? {} : { nextToken }),
      }),
    );
    for (const { microvmId: microvmIdentifier = "", state } of page.items ?? []) {
      if (state === "TERMINATED") continue;
      await clients.microvms.send(new TerminateMicrovmCommand({ microvmIdentifier }));
      await waitForState(clients, microvmIdentifier, ["TERMINATED"]);
    }
    nextToken = page.nextToken ?? undefined;
  } while (nextToken !== undefined);
}

/** The slow probe of KVM is done once for all test files. */
function rememberAccelerator(dataDir: string, target: string): void {
  const source = path.join(dataDir, "accelerator.json");
  if (existsSync(source) && !existsSync(target)) copyFileSync(source, target);
}

async function assertNothingLeft(dataDir: string): Promise<void> {
  await poll(10_000, "everything to be released", async () => {
    return leftovers(dataDir).length === 0 ? true : undefined;
  }).catch(() => undefined);
  assert.deepEqual(leftovers(dataDir), []);
}

/** What a stopped service with no microVMs must not leave: processes, namespaces, links, rules, mounts, files. */
function leftovers(dataDir: string): string[] {
  const prefix = linkPrefix(dataDir);
  const named = (text: string) => text.split("\n").filter((line) => line.includes(prefix));
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { encoding: "utf8" });
  const files = (name: string) =>
    listIfThere(path.join(dataDir, name)).map((file) => `${name}/${file}`);
  return [
    ...vmmPids(dataDir).map((pid) => `process ${pid}: ${commandLine(String(pid))}`),
    ...named(run("ip", "netns", "list")),
    ...named(run("ip", "-o", "link")),
    ...run("nft", "list", "tables")
      .split("\n")
      .filter((line) => line.includes(`torpor_${prefix.slice(3, -1)}`)),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${dataDir}/`)),
    ...listIfThere(runtimeDirectory(dataDir)),
    ...files("microvms"),
    ...files("builds"),
  ];
}

function listIfThere(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

// The names below are the service's own (src/cli/commands/serve.ts, src/network/addresses.ts), spelled again so that a
// change of them is noticed.
function runtimeDirectory(dataDir: string): string {
  return `/run/torpor/vmms-${hash(dataDir).slice(0, 12)}`;
}

function linkPrefix(dataDir: string): string {
  return `tp-${hash(dataDir).slice(0, 6)}-`;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
