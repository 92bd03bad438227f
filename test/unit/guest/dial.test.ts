import assert from "node:assert/strict";
import { Socket } from "node:net";
import { mock, test, type TestContext } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { dialGuest, type DialTarget } from "../../../src/guest/dial.ts";

const target: DialTarget = { address: "192.0.2.9", port: 1, budgetMs: 5000, isPatient: true };

/** Sockets that go nowhere until the test says so, and a clock that stands until the test moves it. */
function scene(context: TestContext) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const sockets: Socket[] = [];
  const connect = mock.fn(() => {
    const socket = new Socket();
    sockets.push(socket);
    return socket;
  });
  const refuse = (index: number, code = "ECONNREFUSED") =>
    sockets[index]?.emit("error", Object.assign(new Error(code), { code }));
  const pass = (ms: number) => context.mock.timers.tick(ms);
  return { sockets, connect, refuse, pass };
}

const never = new AbortController().signal;

test("dialGuest starts further attempts while the first is silent, and the first to connect wins", async (context) => {
  const { sockets, connect, pass } = scene(context);
  const dialled = dialGuest(target, never, { connect });
  assert.equal(sockets.length, 1);
  pass(250);
  pass(250);
  assert.equal(sockets.length, 3);
  sockets[1]?.emit("connect");
  assert.equal(await dialled, sockets[1]);
  assert.deepEqual(
    sockets.map((socket) => socket.destroyed),
    [true, false, true],
  );
  pass(5000);
  assert.equal(sockets.length, 3);
});

test("dialGuest has a bounded number of attempts under way however long it is silent", async (context) => {
  const { sockets, connect, pass } = scene(context);
  const dialled = dialGuest(target, never, { connect });
  for (let step = 0; step < 19; step += 1) {
    pass(250);
    assert.ok(sockets.filter((socket) => !socket.destroyed).length <= 5);
  }
  pass(250);
  await assert.rejects(dialled, (error) => isServiceError(error, "GUEST_UNREACHABLE"));
  assert.ok(sockets.every((socket) => socket.destroyed));
});

test("dialGuest tries again soon after a refusal, one attempt at a time", async (context) => {
  const { sockets, connect, refuse, pass } = scene(context);
  const dialled = dialGuest(target, never, { connect });
  for (let index = 0; index < 30; index += 1) {
    refuse(index);
    pass(20);
    assert.equal(sockets.length, index + 2);
  }
  sockets[30]?.emit("connect");
  assert.equal(await dialled, sockets[30]);
});

test("dialGuest without patience rejects the first refusal, naming the address", async (context) => {
  const { connect, refuse } = scene(context);
  const dialled = dialGuest({ ...target, isPatient: false }, never, { connect });
  refuse(0);
  await assert.rejects(
    dialled,
    (error) =>
      isServiceError(error, "GUEST_UNREACHABLE") && error.details["address"] === "192.0.2.9",
  );
});

test("dialGuest does not retry a failure that will not pass", async (context) => {
  const { connect, refuse } = scene(context);
  const dialled = dialGuest(target, never, { connect });
  refuse(0, "EACCES");
  await assert.rejects(dialled, (error) => isServiceError(error, "GUEST_UNREACHABLE"));
});

test("dialGuest rejects with the signal's own reason and leaves nothing behind", async (context) => {
  const { sockets, connect, pass } = scene(context);
  const stop = new AbortController();
  const dialled = dialGuest(target, stop.signal, { connect });
  const reason = new Error("stop");
  stop.abort(reason);
  await assert.rejects(dialled, (error) => error === reason);
  pass(10_000);
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0]?.destroyed, true);
  assert.throws(
    () => dialGuest(target, stop.signal, { connect }),
    (error) => error === reason,
  );
});
