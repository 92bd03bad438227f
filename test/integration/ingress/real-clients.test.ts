// Clients that people use, before an application behind the ingress: they see the application, and nothing in between.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { pythonWithClients } from "../../support/python.ts";
import { type Harness, startHarness } from "./harness.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;
const SECOND_EVENT = new EventEmitter();

/** Greets, digests what it is sent, sends as much as it is asked for, and tells events one at a time. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, search } = new URL(request.url ?? "/", "http://app");
  switch (pathname) {
    case "/digest": {
      const digest = createHash("sha256");
      await pipeline(request, digest);
      return void response.end(digest.digest("hex"));
    }
    case "/bytes":
      return pipeline(Readable.from(zeros(Number(search.slice(1)))), response);
    case "/events": {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const name of ["first", "second"]) {
        const isRead = once(SECOND_EVENT, "read");
        response.write(`data: ${name}\n\n`);
        await isRead;
      }
      return void response.end();
    }
    case "/go":
      SECOND_EVENT.emit("read");
      return void response.end();
    default:
      response.end(`hello over ${request.httpVersion}`);
  }
}

function* zeros(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= 1 << 16) yield Buffer.alloc(Math.min(left, 1 << 16));
}

describe("clients that people use", { timeout: 5 * TIMEOUT_MS }, () => {
  let harness: Harness;
  let base: string;
  let fields: string[];

  before(async () => {
    harness = await startHarness({
      app: (request, response) => void answer(request, response).catch(() => response.destroy()),
    });
    base = `https://localhost:${harness.ingress.address.port}`;
    const credentials = Object.entries(await harness.credentials());
    fields = credentials.flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  });

  after(() => harness[Symbol.asyncDispose]());

  async function curl(target: string, ...args: string[]): Promise<string> {
    const always = ["--silent", "--show-error", "--fail", "--cacert", harness.caFile, ...fields];
    const options = { timeout: TIMEOUT_MS, maxBuffer: 64 << 20 };
    return (await run("curl", [...always, ...args, `${base}${target}`], options)).stdout;
  }

  for (const [version, args] of [
    ["1.1", ["--http1.1"]],
    ["2", ["--http2"]],
  ] as const)
    describe(`curl over HTTP/${version}`, () => {
      it("asks again on a kept connection", async () => {
        const report = ["--write-out", " %{http_version} %{num_connects}\n"];
        const twice = await curl("/hello", ...args, ...report, `${base}/hello`);
        const line = (connects: number) => `hello over 1.1 ${version} ${connects}`;
        assert.equal(twice.trim(), `${line(1)}\n${line(0)}`);
      });

      it("uploads a body that it was told the length of, after asking whether it may", async () => {
        const file = path.join(import.meta.dirname, "harness.ts");
        const ours = (await run("sha256sum", [file])).stdout.slice(0, 64);
        const expect = ["--header", "Expect: 100-continue", "--expect100-timeout", "50"];
        assert.equal(await curl("/digest", ...args, ...expect, "--data-binary", `@${file}`), ours);
        assert.equal(await curl("/digest", ...args, "--upload-file", file), ours);
      });

      it("downloads as much as there is", async () => {
        const size = ["--output", "/dev/null", "--write-out", "%{size_download}"];
        assert.equal(await curl(`/bytes?${16 << 20}`, ...args, ...size), String(16 << 20));
      });
    });

  describe("Python", () => {
    interface Seen {
      readonly requests: Readonly<Record<string, unknown>>;
      readonly httpx: Readonly<Record<string, unknown>>;
      readonly websockets: Readonly<Record<string, unknown>>;
    }
    let seen: Seen;

    before(async () => {
      const script = path.join(import.meta.dirname, "python_clients.py");
      const env = {
        PATH: process.env["PATH"] ?? "",
        TORPOR_CA: harness.caFile,
        TORPOR_TOKEN: await harness.token(),
      };
      const args = [script, base, String(harness.appPort)];
      const { stdout } = await run(await pythonWithClients(), args, { env, timeout: TIMEOUT_MS });
      seen = JSON.parse(stdout) as Seen;
    });

    it("requests: kept connections, uploads, downloads, events as they come", () => {
      assert.deepEqual(seen.requests, {
        "without a token": 403,
        "kept connection": Array(5).fill("hello over 1.1"),
        "upload of known length": true,
        "chunked upload": true,
        download: 32 << 20,
        events: ["first", "second"],
      });
    });

    it("httpx: HTTP/2 with fifty requests side by side", () => {
      assert.deepEqual(seen.httpx, {
        version: "HTTP/2",
        "side by side": Array(50).fill("hello over 1.1"),
        upload: true,
        download: 32 << 20,
      });
    });

    it("websockets: text, binary, fragments and pings, by header and by sub-protocols", () => {
      assert.deepEqual(seen.websockets, {
        ...{ text: "text", binary: true, fragments: "abc" },
        ...{ "chosen sub-protocol": "lambda-microvms", "by sub-protocols": "again" },
        "without a token": 403,
      });
    });
  });
});
