import assert from "node:assert/strict";
import { mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createLog } from "../../../src/lib/log.ts";
import { BUFFER_LIMIT, openLogFile } from "../../../src/lib/log-file.ts";
import { eventually } from "../scheduler/harness.ts";

describe("a log file", () => {
  let directory: string;
  let file: string;
  let logged: string[];

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-log-file-"));
    file = path.join(directory, "access.log");
    logged = [];
  });
  afterEach(() => rm(directory, { recursive: true }));

  const open = (at = file) =>
    openLogFile({ log: createLog("debug", (line) => void logged.push(line)) }, at);

  it("is appended to in order, readable by its owner alone, and kept by the next service", async () => {
    for (const round of [1, 2]) {
      await using opened = await open();
      for (let index = 0; index < 1000; index += 1) opened.write(`${round} ${index}\n`);
    }
    const expected = [1, 2].flatMap((round) =>
      Array.from({ length: 1000 }, (_, index) => `${round} ${index}\n`),
    );
    assert.equal(await readFile(file, "utf8"), expected.join(""));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(logged, []);
  });

  it("is followed by a new one at its path, and no line is lost between them", async () => {
    const moved = `${file}.1`;
    {
      await using opened = await open();
      opened.write("first\n");
      await rename(file, moved);
      opened.write("second\n");
      opened.reopen();
      await eventually(async () => (await stat(file).catch(() => undefined)) !== undefined);
      opened.write("third\n");
    }
    assert.equal(await readFile(moved, "utf8"), "first\nsecond\n");
    assert.equal(await readFile(file, "utf8"), "third\n");
  });

  it("goes on as it was when no new one can be made", async () => {
    const moved = `${directory}-moved`;
    {
      await using opened = await open();
      await rename(directory, moved);
      opened.reopen();
      await eventually(() => logged.length > 0);
      opened.write("still\n");
    }
    await rename(moved, directory);
    assert.equal(await readFile(file, "utf8"), "still\n");
    assert.match(logged[0] ?? "", /Cannot reopen log file/);
  });

  it("drops what does not fit while the disk is busy, and says how much", async () => {
    const line = `${"x".repeat(1023)}\n`;
    const fitting = BUFFER_LIMIT / line.length;
    {
      await using opened = await open();
      // All in one turn, before the first write can begin.
      for (let index = 0; index < fitting + 5; index += 1) opened.write(line);
    }
    assert.equal((await stat(file)).size, BUFFER_LIMIT);
    assert.equal(logged.length, 2);
    assert.match(logged[0] ?? "", /Cannot write log file.*too slow/);
    assert.match(logged[1] ?? "", /were lost.*"lines":5/);
  });

  it("says that it cannot be written, and what was lost", async () => {
    // Linux answers every write to this device as if the disk were full.
    await using full = await open("/dev/full");
    full.write("first\n");
    await eventually(() => logged.length > 0);
    assert.match(logged[0] ?? "", /Cannot write log file.*ENOSPC/);
    full.write("second\n");
  });

  it("that cannot be opened stops the start", async () => {
    await assert.rejects(open(path.join(directory, "none", "access.log")), {
      code: "SETUP_FAILED",
      message: /Cannot open log file .*ENOENT/,
    });
  });
});
