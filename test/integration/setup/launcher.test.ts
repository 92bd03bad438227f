import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, copyFile, mkdir, realpath, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { temporaryDirectory } from "./temporary.ts";

const LAUNCHER = path.resolve(import.meta.dirname, "../../../bin/torpor");
/** Where `dirname`, `readlink` and `sh` are, and on no machine a Node 24 of torpor's. */
const SYSTEM_PATH = "/usr/bin:/bin";

/** A package root with the launcher and, in `node_modules`, a fake node of that version. */
async function makePackage(root: string, nodeVersion?: string): Promise<string> {
  await mkdir(path.join(root, "bin"), { recursive: true });
  await mkdir(path.join(root, "node_modules/.bin"), { recursive: true });
  await copyFile(LAUNCHER, path.join(root, "bin/torpor"));
  if (nodeVersion !== undefined) {
    await makeNode(path.join(root, "node_modules/.bin"), nodeVersion);
  }
  return path.join(root, "bin/torpor");
}

/** A program that says its version when asked, and otherwise what it was run with. */
async function makeNode(directory: string, version: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const file = path.join(directory, "node");
  const script = `#!/bin/sh\nif [ "$1" = --version ]; then echo v${version}; exit; fi\necho "v${version} $*"\nexit 7\n`;
  await writeFile(file, script);
  await chmod(file, 0o755);
}

function launch(program: string, searchPath: string, args: readonly string[] = []) {
  const result = spawnSync(program, args, {
    env: { PATH: searchPath },
    cwd: "/",
    encoding: "utf8",
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

describe("bin/torpor", () => {
  it("runs main.ts under the package's own node and hands on arguments and exit code", async () => {
    await using directory = await temporaryDirectory();
    const root = await realpath(directory.path);
    const launcher = await makePackage(root, "24.1.0");
    const { status, stdout } = launch(launcher, SYSTEM_PATH, ["serve", "two words"]);
    const flag = "--max-semi-space-size=64 --disable-warning=ExperimentalWarning";
    assert.equal(stdout, `v24.1.0 ${flag} ${root}/src/main.ts serve two words\n`);
    assert.equal(status, 7);
  });

  it("finds its package through relative and absolute links", async () => {
    await using directory = await temporaryDirectory();
    const root = await realpath(directory.path);
    const launcher = await makePackage(path.join(root, "package"), "24.1.0");
    await symlink(launcher, path.join(root, "absolute"));
    await symlink("absolute", path.join(root, "relative"));
    const { stdout } = launch(path.join(root, "relative"), SYSTEM_PATH);
    assert.match(stdout, new RegExp(`${root}/package/src/main.ts`));
  });

  it("passes over an old node in PATH for a new one behind it", async () => {
    await using directory = await temporaryDirectory();
    const launcher = await makePackage(directory.path);
    const [old, recent] = [path.join(directory.path, "old"), path.join(directory.path, "new")];
    await makeNode(old, "20.20.2");
    await makeNode(recent, "26.0.0");
    const { stdout } = launch(launcher, `${old}:${recent}:${SYSTEM_PATH}`);
    assert.match(stdout, /^v26\.0\.0 /);
  });

  it("says what to type when there is no node that is new enough", async () => {
    await using directory = await temporaryDirectory();
    const launcher = await makePackage(directory.path, "18.19.0");
    const old = path.join(directory.path, "old");
    await makeNode(old, "20.20.2");
    for (const tool of ["dirname", "readlink"]) {
      await symlink(`/usr/bin/${tool}`, path.join(old, tool));
    }
    const { status, stderr } = launch(launcher, old);
    assert.match(stderr, /needs Node 24.*"npm ci"/);
    assert.equal(status, 1);
  });

  it("says what to type when the packages are not installed", async () => {
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, "bin"));
    const launcher = path.join(directory.path, "bin/torpor");
    await copyFile(LAUNCHER, launcher);
    const recent = path.join(directory.path, "new");
    await makeNode(recent, "24.0.0");
    const { status, stderr } = launch(launcher, `${recent}:${SYSTEM_PATH}`);
    assert.match(stderr, /"npm ci"/);
    assert.equal(status, 1);
  });
});
