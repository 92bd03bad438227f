import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { createDisk } from "../../../src/builder/rootfs.ts";
import { isServiceError } from "../../../src/errors.ts";
import { SIZE_CLASSES } from "../../../src/images/size-class.ts";
import { runCommand } from "../../../src/lib/command.ts";

const limit = () => AbortSignal.timeout(30_000);
let directory = "";

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "torpor-disk-"));
});
after(() => rm(directory, { recursive: true, force: true }));

describe("createDisk", () => {
  it("makes a sound file system of any size class that costs next to nothing", async () => {
    for (const diskMiB of new Set(SIZE_CLASSES.map((sizeClass) => sizeClass.diskMiB))) {
      const disk = path.join(directory, `disk-${diskMiB}`);
      await createDisk(disk, diskMiB, limit());
      const { size, blocks } = await stat(disk);
      assert.equal(size, diskMiB * 1024 ** 2);
      assert.ok(blocks * 512 < 1024 ** 2, `${blocks * 512} bytes allocated for ${diskMiB} MiB`);
      await runCommand("e2fsck", ["-f", "-n", disk], {}, limit());
      const facts = await runCommand("dumpe2fs", ["-h", disk], {}, limit());
      assert.match(facts, /Filesystem volume name: +torpor-disk\n/);
      assert.match(facts, /Reserved block count: +0\n/);
      assert.doesNotMatch(facts, /has_journal/);
    }
  });

  it("leaves no file behind when it fails", async () => {
    const disk = path.join(directory, "too-small");
    await assert.rejects(createDisk(disk, 0, limit()), (error) =>
      isServiceError(error, "INTERNAL"),
    );
    await assert.rejects(createDisk(disk, 8, AbortSignal.abort()), { name: "AbortError" });
    assert.ok(!(await readdir(directory)).includes("too-small"));
  });
});
