// Programs in Go that tests run, built once for the checkout from the versions that `go-tools/go.mod` pins.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";

const run = promisify(execFile);
const SOURCES = path.join(import.meta.dirname, "go-tools");
const TOOLS = path.join(REPOSITORY, ".tools");
/** Downloads and compiles; the compiler's own cache is gone in a fresh checkout. */
const BUILD_TIMEOUT_MS = 300_000;
const PACKAGES = { h2spec: "github.com/summerwind/h2spec/cmd/h2spec" } as const;

/** Path of the program. Tests of several processes may ask at once. */
export async function goTool(name: keyof typeof PACKAGES): Promise<string> {
  const pins = readFileSync(path.join(SOURCES, "go.sum"));
  const digest = createHash("sha256").update(pins).digest("hex").slice(0, 12);
  const file = path.join(TOOLS, `${name}-${digest}`);
  const script = `mkdir -p "$1" && test -x "$2" || go build -o "$2" "$3"`;
  const args = ["sh", "-e", "-c", script, "build-tool", TOOLS, file, PACKAGES[name]];
  const env = {
    ...process.env,
    ...{ GOFLAGS: "-mod=readonly -modcacherw", GOTOOLCHAIN: "local", GOWORK: "off" },
    GOPATH: path.join(TOOLS, "gopath"),
    GOCACHE: path.join(TOOLS, "cache"),
  };
  await run("flock", [`${TOOLS}.lock`, ...args], { cwd: SOURCES, env, timeout: BUILD_TIMEOUT_MS });
  return file;
}
