// A VMM may have been taken over by its guest: what it says and prints may not end, hang or fill the service.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { startDetached } from "../../../src/vmm/process.ts";
import { connectQmp } from "../../../src/vmm/qemu/qmp.ts";

/** A control socket whose owner negotiates properly and then answers every command with `answer`. */
async function controlSocket(answer: string) {
  const directory = mkdtempSync(path.join(tmpdir(), "torpor-qmp-"));
  const file = path.join(directory, "qmp.sock");
  const server = net.createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.write('{"QMP":{}}\n');
    socket.once("data", () => {
      socket.write('{"return":{},"id":1}\n');
      socket.on("data", () => socket.write(answer));
    });
  });
  server.listen(file);
  await once(server, "listening");
  return {
    file,
    [Symbol.dispose]() {
      server.close();
      rmSync(directory, { recursive: true });
    },
  };
}

for (const answer of ["not json\n", "null\n", "[]\n", "7\n", "x".repeat(2 * 1024 * 1024)]) {
  test(`a control answer of ${JSON.stringify(answer.slice(0, 10))} fails the command`, async () => {
    using socket = await controlSocket(answer);
    const signal = AbortSignal.timeout(10_000);
    await using qmp = await connectQmp(socket.file, signal);
    await assert.rejects(qmp.execute("stop", {}, signal), (error) =>
      isServiceError(error, "VMM_FAILED"),
    );
  });
}

test(
  "a program that prints without end is kept to its last words",
  { timeout: 30_000 },
  async () => {
    const script =
      "yes flood | head -c 50000000 >&2; yes console | head -c 50000000; echo last; exit 3";
    const started = await startDetached(["sh", "-c", script], { keepsOutput: true });
    const exit = await started.exited;
    assert.equal(exit.exitCode, 3);
    assert.ok(exit.stderrTail.length <= 4000 && exit.stderrTail.includes("flood"));
    assert.ok(exit.consoleTail.length <= 4000 && exit.consoleTail.endsWith("last"));
  },
);

test("a program goes on when nobody reads its errors any more, as a VMM without its service must", async () => {
  // SIGPIPE is ignored here as QEMU ignores it.
  const script = "trap '' PIPE; yes flood 2>/dev/null | head -c 1000000 >&2; exit 0";
  const started = await startDetached(["sh", "-c", script], { keepsOutput: false });
  assert.equal((await started.exited).exitCode, 0);
});
