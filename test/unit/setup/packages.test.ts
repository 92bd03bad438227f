import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  findMissingPackages,
  installPackages,
  updateIndexes,
} from "../../../src/setup/packages.ts";
import { failedProgram, fakeRun } from "./fake-run.ts";

const signal = new AbortController().signal;
const silent = { onOutput: () => undefined, doing: () => undefined };

describe("findMissingPackages", () => {
  it("counts only packages that are installed", async () => {
    const { run } = fakeRun([
      [/^dpkg-query/, "buildah installed\nnftables config-files\nlibc6 installed\n"],
    ]);
    const names = ["buildah", "nftables", "erofs-utils"];
    assert.deepEqual(await findMissingPackages(run, names, signal), ["nftables", "erofs-utils"]);
  });
});

describe("installPackages", () => {
  it("runs nothing when nothing is missing", async () => {
    const { run, commands } = fakeRun([]);
    const deps = { run, isRoot: true, ...silent };
    await installPackages(deps, { names: [], updateFailure: undefined }, signal);
    assert.deepEqual(commands, []);
  });

  it("asks apt for exactly the missing ones, without recommendations", async () => {
    const { run, commands } = fakeRun([[/apt-get/, ""]]);
    const deps = { run, isRoot: true, ...silent };
    const names = ["buildah", "nftables"];
    await installPackages(deps, { names, updateFailure: undefined }, signal);
    assert.equal(commands.length, 1);
    assert.match(commands[0] ?? "", /install --yes --no-install-recommends buildah nftables$/);
  });

  it("prints the command to an unprivileged user and runs nothing", async () => {
    const { run, commands } = fakeRun([]);
    const deps = { run, isRoot: false, ...silent };
    await assert.rejects(
      installPackages(deps, { names: ["buildah"], updateFailure: undefined }, signal),
      {
        code: "SETUP_FAILED",
        message:
          'Cannot install packages without root: run as root "apt-get update && apt-get install --no-install-recommends buildah"',
      },
    );
    assert.deepEqual(commands, []);
  });

  it("tells of a failed update only when the installation fails, too", async () => {
    const { run } = fakeRun([[/apt-get/, failedProgram("env", 100)]]);
    const deps = { run, isRoot: true, ...silent };
    const updateFailure = await updateIndexes(deps, signal);
    assert.match(updateFailure ?? "", /exited with 100/);
    await assert.rejects(installPackages(deps, { names: ["buildah"], updateFailure }, signal), {
      code: "SETUP_FAILED",
      message: /exited with 100.*exited with 100.*mend apt until this works/s,
    });
  });
});
