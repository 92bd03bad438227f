// Control groups of the version this machine has, and of the other in a directory that looks like it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { createCgroup, sweepCgroups } from "../../../src/builder/cgroup.ts";
import { createLog, silentLog } from "../../../src/lib/log.ts";

let directory = "";

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "torpor-cgroup-"));
});
after(() => rm(directory, { recursive: true, force: true }));

/** A tree of directories with one file each, where the host would have control groups. */
async function makeTree(name: string, file: string, texts: Readonly<Record<string, string>>) {
  const mountDir = path.join(directory, name);
  for (const [group, text] of Object.entries(texts)) {
    await mkdir(path.join(mountDir, group), { recursive: true });
    await writeFile(path.join(mountDir, group, file), text);
  }
  return mountDir;
}

describe("createCgroup", () => {
  it("bounds processes and memory in groups that are gone once they are empty", async () => {
    const deps = { log: silentLog() };
    const cgroup = await createCgroup(deps, directory);
    assert.ok(cgroup.directories.length > 0, "this machine allows no control groups");
    const sleeper = spawn("sleep", ["60"], { stdio: "ignore" });
    try {
      const limits = new Map<string, string>();
      for (const group of cgroup.directories) {
        for (const file of ["pids.max", "memory.max", "memory.limit_in_bytes"]) {
          const text = await readFile(path.join(group, file), "utf8").catch(() => undefined);
          if (text !== undefined) limits.set(file, text.trim());
        }
        await writeFile(path.join(group, "cgroup.procs"), String(sleeper.pid));
      }
      assert.equal(limits.get("pids.max"), "4096");
      const memory = Number(limits.get("memory.max") ?? limits.get("memory.limit_in_bytes"));
      assert.ok(memory >= 2 * 1024 ** 3 - 4096 && memory < 2 ** 50, `${memory} bytes`);
      await sweepCgroups(deps, directory);
      for (const group of cgroup.directories) assert.ok((await stat(group)).isDirectory());
    } finally {
      sleeper.kill("SIGKILL");
      await once(sleeper, "exit");
      await cgroup[Symbol.asyncDispose]();
    }
    for (const group of cgroup.directories) await assert.rejects(stat(group), { code: "ENOENT" });
  });

  it("leaves groups for the sweep of its own storage only", async () => {
    const deps = { log: silentLog() };
    await using other = await createCgroup(deps, path.join(directory, "other"));
    const { directories } = await createCgroup(deps, directory);
    await sweepCgroups(deps, directory);
    for (const group of directories) await assert.rejects(stat(group), { code: "ENOENT" });
    for (const group of other.directories) assert.ok((await stat(group)).isDirectory());
  });

  it("makes a version 2 group where controllers are passed on, above the service's own", async () => {
    const mountDir = await makeTree("v2", "cgroup.subtree_control", {
      ".": "cpu memory pids\n",
      "system.slice": "memory pids\n",
      "system.slice/torpor.service": "\n",
    });
    const deps = { log: silentLog(), mountDir, membership: "0::/system.slice/torpor.service\n" };
    const { directories } = await createCgroup(deps, directory);
    assert.deepEqual(directories.map(path.dirname), [path.join(mountDir, "system.slice")]);
    assert.deepEqual((await readdir(directories[0] ?? "")).toSorted(), [
      "memory.max",
      "memory.swap.max",
      "pids.max",
    ]);
  });

  it("makes version 1 groups below the service's own where version 2 has no controllers", async () => {
    const mountDir = await makeTree("v1", "cgroup.procs", {
      unified: "",
      pids: "",
      "memory/service": "",
    });
    await writeFile(path.join(mountDir, "unified", "cgroup.subtree_control"), "\n");
    const membership = "8:pids:/elsewhere\n4:memory:/service\n0::/\n";
    const { directories } = await createCgroup({ log: silentLog(), mountDir, membership }, "/x");
    assert.deepEqual(directories.map(path.dirname), [
      path.join(mountDir, "pids"),
      path.join(mountDir, "memory/service"),
    ]);
  });

  it("says so and goes on where no group can be made", async () => {
    const lines: string[] = [];
    const log = createLog("warn", (line) => lines.push(line));
    const mountDir = path.join(directory, "absent");
    await using cgroup = await createCgroup({ log, mountDir, membership: "" }, directory);
    assert.deepEqual(cgroup.directories, []);
    assert.match(lines.join(""), /builds run without bounds/);
  });
});
