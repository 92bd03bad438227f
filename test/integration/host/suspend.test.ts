// A suspend that fails at each of its steps: the guest runs on, and no state is left for anyone to find.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import type { LaunchedVmm } from "../../../src/host/launch.ts";
import { hasSavedState, microvmFiles, type MicrovmFiles } from "../../../src/host/microvm-files.ts";
import { saveState } from "../../../src/host/suspend.ts";

type Step = "pause" | "saveMemoryDiff" | "saveDevices" | "commit";

describe("saveState", () => {
  let top: string;
  let files: MicrovmFiles;
  let calls: string[];

  beforeEach(() => {
    top = mkdtempSync(path.join(tmpdir(), "torpor-suspend-"));
    files = microvmFiles(top, "m1");
    mkdirSync(files.directory);
    writeFileSync(files.disk, "disk");
    calls = [];
  });

  afterEach(() => rmSync(top, { recursive: true }));

  /** A VMM whose step `broken` fails; `commit` breaks what comes after the rename by taking the disk away before it. */
  function vmmWith(broken: Step | undefined, isGone = false): LaunchedVmm {
    const step = (name: Step, work: () => void) => async () => {
      calls.push(name);
      if (name === broken) throw new ServiceError("VMM_FAILED", `${name} broke`);
      work();
      return { dirtyBytes: 4096, bytesWritten: 4200 };
    };
    const vmm = {
      pause: step("pause", () => undefined),
      saveMemoryDiff: step("saveMemoryDiff", () => writeFileSync(files.saving.memoryDiff, "m")),
      saveDevices: step("saveDevices", () => {
        writeFileSync(files.saving.devices, "d");
        // In the way of the rename, so that the last step fails after everything was written.
        if (broken === "commit")
          mkdirSync(path.join(files.saved.directory, "old"), { recursive: true });
      }),
      resume: async () => {
        calls.push("resume");
        if (isGone) throw new ServiceError("VMM_FAILED", "gone");
      },
    };
    return { vmm } as unknown as LaunchedVmm;
  }

  const { signal } = new AbortController();

  test("a complete save is there, and the guest stays paused", async () => {
    assert.equal((await saveState({}, vmmWith(undefined), files, signal)).dirtyBytes, 4096);
    assert.equal(await hasSavedState(files), true);
    assert.equal(calls.includes("resume"), false);
  });

  for (const broken of ["pause", "saveMemoryDiff", "saveDevices", "commit"] as const) {
    test(`a failure of ${broken} leaves no state and lets the guest run on, and the next save works`, async () => {
      await assert.rejects(saveState({}, vmmWith(broken), files, signal), (error) => {
        assert.ok(error instanceof ServiceError);
        assert.equal(error.details["ended"], false);
        return true;
      });
      assert.equal(calls.at(-1), "resume");
      assert.deepEqual(readdirSync(files.directory), ["disk"]);
      await saveState({}, vmmWith(undefined), files, signal);
      assert.equal(await hasSavedState(files), true);
    });
  }

  test("a guest that cannot run on is said to have ended", async () => {
    await assert.rejects(saveState({}, vmmWith("saveDevices", true), files, signal), (error) => {
      assert.ok(error instanceof ServiceError);
      assert.equal(error.details["ended"], true);
      return true;
    });
  });
});
