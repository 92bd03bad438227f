import assert from "node:assert/strict";
import { lstat, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { ARCHIVE_LIMITS, type ArchiveLimits } from "../../../src/builder/archive-entry.ts";
import { extractArchive } from "../../../src/builder/archive.ts";
import { isServiceError } from "../../../src/errors.ts";
import { zipOf, type ZipEntry } from "../../fixtures/zip-writer.ts";

const DOCKERFILE: ZipEntry = { name: "Dockerfile", content: "FROM scratch\n", mode: 0o100644 };
const NEVER = new AbortController().signal;

let directory = "";
let count = 0;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "torpor-archive-"));
});
after(() => rm(directory, { recursive: true, force: true }));

async function extract(
  archive: Buffer | readonly ZipEntry[],
  options: { limits?: ArchiveLimits; owner?: { uid: number; gid: number } } = {},
  signal = NEVER,
) {
  count += 1;
  const archivePath = path.join(directory, `${count}.zip`);
  const targetDir = path.join(directory, `${count}`);
  await writeFile(archivePath, Buffer.isBuffer(archive) ? archive : zipOf(archive));
  const result = await extractArchive({ archivePath, targetDir, ...options }, signal);
  return { targetDir, ...result };
}

const failsWith =
  (reasonCode: string, message = /./) =>
  (error: unknown) =>
    isServiceError(error, "BUILD_FAILED") &&
    error.details["reasonCode"] === reasonCode &&
    message.test(error.message);
const invalid = (message?: RegExp) => failsWith("ARCHIVE_INVALID", message);

describe("extractArchive", () => {
  it("writes contents, modes and times", async () => {
    const { targetDir, entries, bytes } = await extract([
      DOCKERFILE,
      { name: "bin/", mode: 0o040700 },
      { name: "bin/run.sh", content: "#!/bin/sh\n", mode: 0o100755 },
      { name: "deep/er/data", content: "x".repeat(300_000), deflate: true },
      { name: "empty", mode: 0o100600 },
    ]);
    const modeOf = async (name: string) => (await stat(path.join(targetDir, name))).mode & 0o7777;
    assert.equal(await readFile(path.join(targetDir, "bin/run.sh"), "utf8"), "#!/bin/sh\n");
    assert.equal((await readFile(path.join(targetDir, "deep/er/data"))).length, 300_000);
    assert.equal(await modeOf("bin"), 0o700);
    assert.equal(await modeOf("bin/run.sh"), 0o755);
    assert.equal(await modeOf("deep/er/data"), 0o644);
    assert.equal(await modeOf("empty"), 0o600);
    const { mtime } = await stat(path.join(targetDir, "bin/run.sh"));
    assert.equal(mtime.toISOString(), "2024-05-06T07:08:10.000Z");
    assert.deepEqual([entries, bytes], [5, 300_000 + 13 + 10]);
  });

  it("gives everything to the owner it is told", async () => {
    const owner = { uid: 4711, gid: 4712 };
    const { targetDir } = await extract(
      [DOCKERFILE, { name: "a/b" }, { name: "l", content: "a", mode: 0o120777 }],
      { owner },
    );
    for (const name of [".", "Dockerfile", "a", "a/b", "l"]) {
      const { uid, gid } = await lstat(path.join(targetDir, name));
      assert.deepEqual({ uid, gid }, owner, name);
    }
  });

  it("makes links that stay inside", async () => {
    const { targetDir } = await extract([
      { name: "node_modules/.bin/tool", content: "../tool/cli.js", mode: 0o120777 },
      { name: "node_modules/tool/cli.js", content: "x" },
      DOCKERFILE,
    ]);
    const link = path.join(targetDir, "node_modules/.bin/tool");
    assert.equal(await readlink(link), "../tool/cli.js");
    assert.equal(await readFile(link, "utf8"), "x");
  });

  it("refuses links that lead out and writes nothing through any link", async () => {
    const outside = path.join(directory, "outside");
    const attacks: ZipEntry[][] = [
      [{ name: "l", content: outside, mode: 0o120777 }],
      [{ name: "l", content: "../outside", mode: 0o120777 }],
      [
        { name: "l", content: ".", mode: 0o120777 },
        { name: "l/x", content: "x" },
      ],
      [
        { name: "l", content: "d", mode: 0o120777 },
        { name: "l", content: "x" },
      ],
      [
        { name: "d/l", content: "..", mode: 0o120777 },
        { name: "m", content: "d/l/../outside", mode: 0o120777 },
      ],
    ];
    for (const entries of attacks)
      await assert.rejects(extract([DOCKERFILE, ...entries]), invalid());
    await assert.rejects(stat(outside), { code: "ENOENT" });
  });

  it("refuses names that lead out", async () => {
    for (const name of ["../escaped", "a/../../escaped", "/escaped", "C:/escaped", "a\\b"]) {
      await assert.rejects(extract([DOCKERFILE, { name, content: "x" }]), invalid(), name);
    }
    assert.ok(!(await readdir(directory)).includes("escaped"));
  });

  it("refuses names that occur twice or as file and directory", async () => {
    const pairs = [
      ["a", "a"],
      ["a", "./a"],
      ["a", "a/b"],
      ["a/b", "a"],
      ["a/b/", "a/b"],
    ];
    for (const names of pairs) {
      const entries = names.map((name) => ({ name }));
      await assert.rejects(extract([DOCKERFILE, ...entries]), invalid(), names.join(" "));
    }
  });

  it("keeps names apart that differ in case, and takes a directory twice", async () => {
    const names = ["readme", "README", "d/", "d/"];
    const { targetDir } = await extract([DOCKERFILE, ...names.map((name) => ({ name }))]);
    assert.deepEqual((await readdir(targetDir)).toSorted(), [
      "Dockerfile",
      "README",
      "d",
      "readme",
    ]);
  });

  it("asks for a file named exactly Dockerfile at the root", async () => {
    const missing = failsWith("ARCHIVE_DOCKERFILE_NOT_FOUND", /no file "Dockerfile" at its root/);
    await assert.rejects(extract([]), missing);
    await assert.rejects(extract([{ name: "app/Dockerfile" }]), missing);
    await assert.rejects(extract([{ name: "dockerfile" }]), missing);
    await assert.rejects(extract([{ name: "Dockerfile/" }]), missing);
    await assert.rejects(
      extract([{ name: "Dockerfile", content: "d", mode: 0o120777 }, { name: "d" }]),
      missing,
    );
  });

  it("refuses what is no zip archive, cut short or changed", async () => {
    const content = Buffer.from("content ".repeat(100));
    const whole = zipOf([DOCKERFILE, { name: "a", content, deflate: true }]);
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 60, 100);
    const broken = [Buffer.alloc(0), Buffer.from("no zip"), Buffer.alloc(5000), damaged];
    for (const archive of [...broken, whole.subarray(0, whole.length - 30), whole.subarray(40)]) {
      await assert.rejects(extract(archive), invalid());
    }
  });

  it("checks checksums and declared sizes", async () => {
    const content = "x".repeat(1000);
    await assert.rejects(extract([{ ...DOCKERFILE, crc: 1 }]), invalid(/corrupt/));
    for (const declaredSize of [10, 2000]) {
      const lying = { name: "a", content, deflate: true, declaredSize };
      await assert.rejects(extract([DOCKERFILE, lying]), invalid());
    }
  });

  it("refuses too many entries, too much content and too long names", async () => {
    const limits = { ...ARCHIVE_LIMITS, entries: 3, totalBytes: 1000, nameBytes: 100 };
    const files = (contents: number[], name = (index: number) => `f${index}`) =>
      contents.map((size, index) => ({ name: name(index), content: "x".repeat(size) }));
    await extract([DOCKERFILE, ...files([0, 900])], { limits });
    await assert.rejects(extract([DOCKERFILE, ...files([0, 0, 0])], { limits }), invalid(/3 ent/));
    await assert.rejects(
      extract([DOCKERFILE, ...files([500, 500])], { limits }),
      invalid(/1000 b/),
    );
    // Parents without entries of their own cost memory and directories too.
    await assert.rejects(
      extract([DOCKERFILE, ...files([0], () => "d/".repeat(20) + "f")], { limits }),
    );
  });

  it("refuses contents that are compressed too well, each and all together", async () => {
    const limits = { ...ARCHIVE_LIMITS, ratioFreeBytes: 10_000, entryRatio: 500, totalRatio: 100 };
    const zeros = (name: string, size: number) => ({
      name,
      content: Buffer.alloc(size),
      deflate: true,
    });
    await extract([DOCKERFILE, zeros("a", 5000)], { limits });
    await assert.rejects(extract([DOCKERFILE, zeros("a", 9e6)], { limits }), invalid(/500 times/));
    const many = Array.from({ length: 10 }, (_, index) => zeros(`f${index}`, 9000));
    await assert.rejects(extract([DOCKERFILE, ...many], { limits }), invalid(/100 times/));
  });

  it("refuses entries that share their data", async () => {
    const content = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 251));
    const copies = Array.from({ length: 5 }, (_, index) => ({
      name: `copy${index}`,
      content,
      sharesDataOf: 1,
    }));
    const archive = [DOCKERFILE, { name: "a", content }, ...copies];
    await assert.rejects(extract(archive), invalid(/overlap/));
  });

  it("rejects with the signal's reason when aborted", async () => {
    const reason = new Error("enough");
    await assert.rejects(extract([DOCKERFILE], {}, AbortSignal.abort(reason)), reason);
  });
});
