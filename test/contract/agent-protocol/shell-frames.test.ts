// The frames of a shell as the host reads and writes them; agent/src/shell_frames.rs reads the same file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  createShellFrameReader,
  encodeShellFrame,
  SHELL_FRAME_LIMIT,
  type ShellFrame,
} from "../../../src/guest/shell-frames.ts";

const golden = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "shell-frames.json"), "utf8"),
) as Record<string, string>;
const frames: Record<string, ShellFrame> = {
  data: { kind: "data", bytes: Buffer.from("\x00\xffls\r", "latin1") },
  received: { kind: "received", offset: 0x0102_0304 * 2 ** 32 + 0x0506_0708 },
  resize: { kind: "resize", columns: 120, rows: 40 },
  end: { kind: "end" },
};

test("host writes shell frames as the golden file says", () => {
  // An offset beyond what a number holds exactly would need a session of nine petabytes.
  const { received: _tooLarge, ...exact } = frames;
  for (const [name, frame] of Object.entries(exact))
    assert.equal(encodeShellFrame(frame).toString("hex"), golden[name], name);
  const offset = 0x0102_0304_0506;
  const bytes = encodeShellFrame({ kind: "received", offset });
  assert.equal(bytes.toString("hex"), "01000000080000010203040506");
});

test("host reads shell frames however they arrive", () => {
  const stream = Buffer.from(
    Object.keys(frames)
      .map((name) => golden[name])
      .join(""),
    "hex",
  );
  for (const size of [1, 2, 7, stream.length]) {
    const read = createShellFrameReader();
    const seen: ShellFrame[] = [];
    for (let at = 0; at < stream.length; at += size)
      seen.push(...read(stream.subarray(at, at + size)));
    assert.deepEqual(seen, Object.values(frames), `in pieces of ${size}`);
  }
});

test("host refuses shell frames that are too long or none", () => {
  const long = Buffer.from([0, 0, 0, 0, 0]);
  long.writeUInt32BE(SHELL_FRAME_LIMIT + 1, 1);
  for (const bytes of [long, Buffer.from([9, 0, 0, 0, 0]), Buffer.from([1, 0, 0, 0, 1, 1])])
    assert.throws(() => createShellFrameReader()(bytes), { code: "VMM_FAILED" });
});
