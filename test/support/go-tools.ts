// Programs in Go that tests run, built once for the checkout: others' in the versions that a folder's go.mod pins, and the
// folder's own.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";

const run = promisify(execFile);
const SOURCES = path.join(import.meta.dirname, "go-tools");
const TOOLS = path.join(REPOSITORY, ".tools");
/** Downloads and compiles; the compiler's own cache is gone in a fresh checkout. */
const BUILD_TIMEOUT_MS = 300_000;
const PROGRAMS = {
  h2spec: { folder: "h2spec", source: "github.com/summerwind/h2spec/cmd/h2spec" },
  "grpc-interop-client": { folder: "grpc", source: "google.golang.org/grpc/interop/client" },
  "grpc-peer": { folder: "grpc", source: "." },
} as const;

/** Path of the program. Tests of several processes may ask at once. */
export async function goTool(name: keyof typeof PROGRAMS): Promise<string> {
  const { folder, source } = PROGRAMS[name];
  const cwd = path.join(SOURCES, folder);
  const file = path.join(TOOLS, `${name}-${digestOf(cwd)}`);
  const script = `mkdir -p "$1" && test -x "$2" || go build -o "$2" "$3"`;
  const args = ["sh", "-e", "-c", script, "build-tool", TOOLS, file, source];
  const env = {
    ...process.env,
    ...{ GOFLAGS: "-mod=readonly -modcacherw -buildvcs=false" },
    ...{ GOTOOLCHAIN: "local", GOWORK: "off" },
    GOPATH: path.join(TOOLS, "gopath"),
    GOCACHE: path.join(TOOLS, "cache"),
  };
  await run("flock", [`${TOOLS}.lock`, ...args], { cwd, env, timeout: BUILD_TIMEOUT_MS });
  return file;
}

/** Of everything in the folder that a program is made from. */
function digestOf(folder: string): string {
  const digest = createHash("sha256");
  for (const name of readdirSync(folder).toSorted())
    digest.update(readFileSync(path.join(folder, name)));
  return digest.digest("hex").slice(0, 12);
}
