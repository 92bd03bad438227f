// WebSocket frames, good and broken ones, sent to an echo server directly and through the ingress over HTTP/1.1 and
// HTTP/2: what comes back is the same to the byte. The cases follow the subjects of the Autobahn test suite.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { WebSocketServer } from "ws";
import { answersOf, describeAnswer, play, type Played } from "../../support/raw-websocket.ts";
import { upgrade } from "../../support/shell-client.ts";
import { ENDPOINT_HOST, type Harness, openSession, startHarness } from "./harness.ts";
import { CLOSE_SCRIPTS } from "./websocket-scripts/closes.ts";
import { COMPRESSED_SCRIPTS } from "./websocket-scripts/compressed.ts";
import { FRAME_SCRIPTS } from "./websocket-scripts/frames.ts";
import { MESSAGE_SCRIPTS } from "./websocket-scripts/messages.ts";
import type { Script } from "./websocket-scripts/script.ts";
import { TEXT_SCRIPTS } from "./websocket-scripts/texts.ts";

const CASE_TIMEOUT_MS = 30_000;
const MAX_PAYLOAD = 8 << 20;

interface Opened {
  readonly socket: Duplex;
  /** What came with the answer to the hand-shake. */
  readonly head: Buffer;
  /** The `Sec-WebSocket-Extensions` agreed. */
  readonly extensions: string | undefined;
}

/** All that can be told apart from outside. */
interface Outcome extends Pick<Opened, "extensions">, Pick<Played, "rest" | "ending"> {
  readonly frames: readonly string[];
  readonly answers: readonly string[];
}

describe("WebSocket frames through the ingress", { timeout: 120_000 }, () => {
  const started = new AsyncDisposableStack();
  let harness: Harness;
  let session: ClientHttp2Session;

  before(async () => {
    harness = await startHarness();
    started.use(harness);
    echoOn(harness);
    session = started.use(await openSession(harness));
  });

  after(() => started.disposeAsync());

  const ways: Readonly<Record<string, (extensions?: string) => Promise<Opened>>> = {
    directly: (extensions) => open(connect(harness.appPort, "127.0.0.1"), {}, extensions),
    "over HTTP/1.1": async (extensions) =>
      open(await harness.connect(), await harness.credentials(), extensions),
    "over HTTP/2": async (extensions) =>
      extendedConnect(session, {
        ...(await harness.credentials()),
        ...(extensions !== undefined && { "sec-websocket-extensions": extensions }),
      }),
  };

  async function outcomeOf(way: string, script: Script): Promise<Outcome> {
    const { socket, head, extensions } = await (ways[way] ?? assert.fail())(script.extensions);
    const { pieces, readsLate = false } = script;
    const { frames, rest, ending } = await play(socket, pieces, { head, readsLate });
    return {
      frames: frames.map((frame) => `${frame.isFinal} ${frame.reserved} ${describeAnswer(frame)}`),
      answers: answersOf(frames).map(describeAnswer),
      ...{ rest, ending, extensions },
    };
  }

  for (const [subject, scripts] of Object.entries({
    ...{ frames: FRAME_SCRIPTS, messages: MESSAGE_SCRIPTS, texts: TEXT_SCRIPTS },
    ...{ closes: CLOSE_SCRIPTS, compression: COMPRESSED_SCRIPTS },
  }))
    describe(subject, () => {
      for (const script of scripts)
        it(script.name, { timeout: CASE_TIMEOUT_MS }, async () => {
          const direct = await outcomeOf("directly", script);
          assert.deepEqual(direct.answers, script.answers.map(describeAnswer));
          assert.equal(direct.ending, "end");
          assert.equal(direct.extensions === undefined, script.extensions === undefined);
          for (const way of ["over HTTP/1.1", "over HTTP/2"])
            assert.deepEqual(await outcomeOf(way, script), direct, way);
        });
    });
});

/** An echo server on the harness's application, which compresses for those who offer it. */
function echoOn(harness: Harness): void {
  const server = new WebSocketServer({
    server: harness.app,
    maxPayload: MAX_PAYLOAD,
    perMessageDeflate: { threshold: 0 },
  });
  server.on("connection", (socket) => {
    // A fault of the client's, which the close that follows tells it of.
    socket.on("error", () => undefined);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}

async function open(
  socket: Socket,
  credentials: Readonly<Record<string, string>>,
  extensions?: string,
): Promise<Opened> {
  socket.setNoDelay();
  const offer = extensions !== undefined && { "Sec-WebSocket-Extensions": extensions };
  const { header, rest } = await upgrade(socket, ENDPOINT_HOST, { ...offer, ...credentials });
  assert.match(header, /^HTTP\/1\.1 101 /);
  const agreed = /^sec-websocket-extensions: (.*)$/im.exec(header)?.[1]?.trim();
  return { socket, head: rest, extensions: agreed };
}

async function extendedConnect(
  session: ClientHttp2Session,
  fields: Record<string, string>,
): Promise<Opened> {
  const socket = session.request(
    {
      ...{ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/" },
      ":authority": ENDPOINT_HOST,
      ...fields,
    },
    { endStream: false },
  );
  const [headers] = (await once(socket, "response")) as [IncomingHttpHeaders];
  assert.equal(headers[":status"], 200);
  const extensions = headers["sec-websocket-extensions"]?.toString();
  return { socket, head: Buffer.alloc(0), extensions };
}
