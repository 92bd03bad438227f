import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromBufferPromise, type Entry } from "yauzl";
import {
  checkSymlinkTarget,
  readMember,
  type ArchiveMember,
} from "../../../src/builder/archive-entry.ts";
import { isServiceError } from "../../../src/errors.ts";
import { zipOf, type ZipEntry } from "../../fixtures/zip-writer.ts";

/** Reads the entry as yauzl gives it, its name unchecked. */
async function entryOf(entry: ZipEntry): Promise<Entry> {
  const zip = await fromBufferPromise(zipOf([{ ...entry, name: "x".repeat(entry.name.length) }]));
  for await (const found of zip.eachEntry()) {
    found.fileName = entry.name;
    return found;
  }
  throw new Error("no entry");
}

const isArchiveInvalid = (error: unknown) =>
  isServiceError(error, "BUILD_FAILED") && error.details["reasonCode"] === "ARCHIVE_INVALID";

const link = (...components: string[]): ArchiveMember => ({
  kind: "symlink",
  components,
  mode: 0o777,
  modifiedAt: new Date(0),
});

describe("readMember", () => {
  it("refuses names that lead or could lead out of the archive", async () => {
    const names = ["../x", "a/../../x", "a/..", "..", "/etc/passwd", "//x", "C:/x", "c:x"];
    for (const name of [...names, "a\\..\\x", "..\\x", "a\0b", "\0"]) {
      const entry = await entryOf({ name });
      assert.throws(() => readMember(entry), isArchiveInvalid, JSON.stringify(name));
    }
  });

  it("takes names that only look dangerous", async () => {
    for (const name of ["..a", "a..", "a/...", "a b", "-rf", "Ünïcode", "$(x)", "a\nb"]) {
      assert.equal(readMember(await entryOf({ name }))?.components.join("/"), name);
    }
  });

  it("drops empty and dot components", async () => {
    assert.deepEqual(readMember(await entryOf({ name: "./a//b/./c" }))?.components, [
      "a",
      "b",
      "c",
    ]);
    assert.equal(readMember(await entryOf({ name: "./" })), undefined);
  });

  it("refuses names longer than a file system takes", async () => {
    for (const name of ["a".repeat(256), "ä".repeat(128), "a/".repeat(2048) + "bc"]) {
      const entry = await entryOf({ name });
      assert.throws(() => readMember(entry), isArchiveInvalid);
    }
  });

  it("refuses names of more than 100 components", async () => {
    const deepest = await entryOf({ name: "a/".repeat(99) + "b" });
    assert.equal(readMember(deepest)?.components.length, 100);
    for (const name of ["a/".repeat(100) + "b", "a/".repeat(1700)]) {
      const entry = await entryOf({ name });
      assert.throws(() => readMember(entry), isArchiveInvalid);
    }
  });

  it("keeps permission bits and nothing above them", async () => {
    const modeOf = async (mode: number) => readMember(await entryOf({ name: "x", mode }))?.mode;
    assert.equal(await modeOf(0o100755), 0o755);
    assert.equal(await modeOf(0o106755), 0o755);
    assert.equal(await modeOf(0o100600), 0o600);
  });

  it("gives usual modes where the archive has none", async () => {
    assert.equal(readMember(await entryOf({ name: "x" }))?.mode, 0o644);
    assert.equal(readMember(await entryOf({ name: "x/" }))?.mode, 0o755);
    assert.equal(readMember(await entryOf({ name: "x", mode: 0o100000 }))?.mode, 0o644);
  });

  it("refuses devices, pipes and sockets", async () => {
    for (const type of [0o020000, 0o060000, 0o010000, 0o140000, 0o150000]) {
      const entry = await entryOf({ name: "x", mode: type | 0o666 });
      assert.throws(() => readMember(entry), isArchiveInvalid, type.toString(8));
    }
  });

  it("refuses a kind that the name contradicts", async () => {
    const contradictions = [
      { name: "x/", mode: 0o100644 },
      { name: "x/", mode: 0o120777 },
      { name: "x", mode: 0o040755 },
    ];
    for (const contradiction of contradictions) {
      const entry = await entryOf(contradiction);
      assert.throws(() => readMember(entry), isArchiveInvalid);
    }
  });

  it("refuses encryption and unknown compression", async () => {
    // Encryption adds a header of 12 bytes to the data.
    for (const odd of [{ flags: 1, declaredSize: 8 }, { method: 14 }, { method: 99 }]) {
      const entry = await entryOf({ name: "x", content: "x".repeat(20), ...odd });
      assert.throws(() => readMember(entry), isArchiveInvalid);
    }
  });

  it("takes the time without regard to the host's time zone", async () => {
    const member = readMember(await entryOf({ name: "x" }));
    assert.equal(member?.modifiedAt.toISOString(), "2024-05-06T07:08:10.000Z");
  });
});

describe("checkSymlinkTarget", () => {
  it("takes relative targets inside the archive", () => {
    for (const target of ["b", "./b", "b/c", "../a", "..", "../../top", "missing"]) {
      checkSymlinkTarget(link("d", "e", "l"), target);
    }
  });

  it("refuses targets that lead or could lead out", () => {
    const targets = ["", "/", "/etc", "../../..", "../../../x", "b/../../../..", "b/..", "x\0y"];
    for (const target of targets) {
      const check = () => checkSymlinkTarget(link("d", "e", "l"), target);
      assert.throws(check, isArchiveInvalid, JSON.stringify(target));
    }
    assert.throws(() => checkSymlinkTarget(link("l"), ".."), isArchiveInvalid);
  });
});
