// A browser before an endpoint: what its own WebSocket, fetch and EventSource can do there.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { after, before, beforeEach, describe, it } from "node:test";
import { WebSocketServer } from "ws";
import { createLog } from "../../../src/lib/log.ts";
import { Browser } from "../../support/browser.ts";
import {
  closeInPage,
  echoInPage,
  eventsInPage,
  eventSourceInPage,
  fetchInPage,
  streamInPage,
  uploadInPage,
} from "./browser-pages.ts";
import { ENDPOINT_HOST, type Harness, startHarness, until } from "./harness.ts";

const TIMEOUT_MS = 60_000;
const NEXT_EVENT = new EventEmitter();

/** A page, its upload, and events of which the second is told once the first was seen. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  switch (request.url) {
    case "/upload":
      return void response.end(`${request.method} ${await text(request)}`);
    case "/events": {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      await once(NEXT_EVENT, "go");
      return void response.end("data: second\n\n");
    }
    case "/go":
      NEXT_EVENT.emit("go");
      return void response.end();
    default:
      response.writeHead(200, { "content-type": "text/html", "access-control-allow-origin": "*" });
      response.end("<!doctype html><title>page</title>");
  }
}

describe("a browser", { timeout: 2 * TIMEOUT_MS }, () => {
  const requests: IncomingMessage[] = [];
  const logged: Record<string, unknown>[] = [];
  const started = new AsyncDisposableStack();
  let harness: Harness;
  let browser: Browser;
  let endpoint: string;
  let site: string;
  let offered: string[];

  before(async () => {
    harness = await startHarness({
      app: (request, response) => {
        requests.push(request);
        void answer(request, response).catch(() => response.destroy());
      },
      accessLog: createLog("info", (line) => {
        logged.push(JSON.parse(line) as Record<string, unknown>);
      }),
      hasAccessLog: true,
    });
    started.use(harness);
    echoOn(harness, requests);
    endpoint = `${ENDPOINT_HOST}:${harness.ingress.address.port}`;
    site = `http://localhost:${harness.appPort}/`;
    offered = [
      ...["lambda-microvms", `lambda-microvms.authentication.${await harness.token()}`],
      `lambda-microvms.port.${harness.appPort}`,
    ];
    browser = started.use(await Browser.start([await certificateOf(harness)]));
  });

  after(() => started.disposeAsync());

  beforeEach(() => void requests.splice(0));

  /** The access log's next line of that kind, which comes when the exchange is over. */
  async function nextLogged(kind: "preflight" | "socket"): Promise<Record<string, unknown>> {
    const isWanted = ({ method, bytesReceived }: Record<string, unknown>) =>
      kind === "preflight" ? method === "OPTIONS" : method === "GET" && bytesReceived !== 0;
    await until(() => logged.some(isWanted), `a ${kind} is logged`);
    return logged.splice(0).find(isWanted) ?? assert.fail();
  }

  describe("on a page from elsewhere", () => {
    before(() => browser.open(site));

    it("has text and bytes echoed by a WebSocket that says token and port as sub-protocols", async () => {
      const seen = await browser.run(echoInPage, { url: `wss://${endpoint}/ws`, offered });
      assert.deepEqual(seen, {
        ...{ protocol: "lambda-microvms", extensions: "permessage-deflate" },
        ...{ text: "grüße", bytes: [0, 255, 1], code: 4001, reason: "done" },
      });
      assert.equal(requests[0]?.headers["sec-websocket-protocol"], undefined);
      assert.equal(requests[0]?.headers.origin, site.slice(0, -1));
      const carried = { httpVersion: "1.1", status: 101 };
      assert.partialDeepStrictEqual(await nextLogged("socket"), carried);
    });

    it("gets the sub-protocol that the application chose", async () => {
      const input = { url: `wss://${endpoint}/ws`, offered: [...offered, "chat"] };
      assert.equal((await browser.run(echoInPage, input)).protocol, "chat");
      assert.equal(requests[0]?.headers["sec-websocket-protocol"], "chat");
      await nextLogged("socket");
    });

    it("sees a WebSocket that is refused close with 1006, and no more of why", async () => {
      const closed = (names: string[]) =>
        browser.run(closeInPage, { url: `wss://${endpoint}/ws`, offered: names });
      const refused = { code: 1006, reason: "", wasClean: false, hadError: true };
      const [marker = "", token = "", port = ""] = offered;
      assert.deepEqual(await closed([]), refused);
      assert.deepEqual(await closed([marker, port]), refused);
      assert.deepEqual(await closed([token, port]), refused);
      assert.deepEqual(await closed([marker, token, "lambda-microvms.port.1"]), refused);
      assert.equal(requests.length, 0);
    });

    it("cannot fetch: its preflight has no token, is refused, and never reaches the application", async () => {
      const input = { url: `https://${endpoint}/`, headers: await harness.credentials() };
      assert.equal(await browser.run(fetchInPage, input), "TypeError: Failed to fetch");
      const refused = { status: 403, proxyError: "UNAUTHORIZED", httpVersion: "2" };
      assert.partialDeepStrictEqual(await nextLogged("preflight"), refused);
      assert.equal(requests.length, 0);
    });

    it("cannot open an EventSource, which has no way to say a token", async () => {
      const state = await browser.run(eventSourceInPage, `https://${endpoint}/events`);
      assert.equal(state, "closed");
      assert.equal(requests.length, 0);
    });
  });

  describe("on a page of the endpoint's own", () => {
    let headers: Record<string, string>;

    before(async () => {
      headers = await harness.credentials();
      await browser.open(`https://${endpoint}/`, headers);
    });

    it("fetches over HTTP/2 with the token in a header", async () => {
      const input = { url: "/upload", headers, body: "grüße" };
      const seen = await browser.run(uploadInPage, input);
      assert.deepEqual(seen, { status: 200, answer: "POST grüße", protocol: "h2" });
      assert.equal(requests[0]?.headers["x-aws-proxy-auth"], undefined);
    });

    it("uploads a body that grows while it is sent", async () => {
      const sent = await browser.run(streamInPage, { url: "/upload", headers });
      assert.equal(sent, "POST one two three");
      assert.equal(requests[0]?.headers["content-length"], undefined);
    });

    it("reads events as they come", async () => {
      assert.deepEqual(await browser.run(eventsInPage, headers), [
        "data: first\n\n",
        "data: second\n\n",
      ]);
    });

    it("opens its WebSocket on the HTTP/2 connection that it has", async () => {
      const seen = await browser.run(echoInPage, { url: `wss://${endpoint}/ws`, offered });
      assert.equal(seen.text, "grüße");
      const carried = { httpVersion: "2", status: 200 };
      assert.partialDeepStrictEqual(await nextLogged("socket"), carried);
    });
  });
});

/** An echo server on the harness's application that knows one sub-protocol. */
function echoOn(harness: Harness, requests: IncomingMessage[]): void {
  const server = new WebSocketServer({
    server: harness.app,
    perMessageDeflate: true,
    handleProtocols: (protocols) => (protocols.has("chat") ? "chat" : false),
  });
  server.on("connection", (socket, request) => {
    requests.push(request);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}

async function certificateOf(harness: Harness): Promise<X509Certificate> {
  const socket = await harness.connect();
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return new X509Certificate(raw);
}
