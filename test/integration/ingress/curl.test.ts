// curl before an application directly and through the ingress: what it shows of the answer, and the application of the
// request, is the same.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { CurlApp } from "./curl-app.ts";
import { type Harness, startHarness } from "./harness.ts";

const TIMEOUT_MS = 30_000;
const FILE = path.join(import.meta.dirname, "harness.ts");
/** Of one connection, or of the ingress's own making. */
const NOT_COMPARED = /^(?:connection|keep-alive|transfer-encoding|date|x-amzn-requestid):/;

const ASKING = ["--header", "Expect: 100-continue", "--expect100-timeout", "20"];
/** By itself curl asks over HTTP/1.1 alone. */
const WITHOUT_ASKING = ["--header", "Expect:"];

/** Arguments, the path last. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  "GET with a query": ["/echo?a=1&b=%20&c=%C3%BC"],
  HEAD: ["--head", "--output", "/dev/null", "/letters"],
  "HEAD of an answer without a length": ["--head", "--output", "/dev/null", "/echo"],
  "204": ["/nothing"],
  "200 with an entity tag": ["/cached"],
  "304": ["--header", 'If-None-Match: "one"', "/cached"],
  "a range": ["--range", "5-20", "/letters"],
  "a range beyond the end": ["--range", "5000-5001", "/letters"],
  "a compressed answer": ["--compressed", "/packed"],
  "an answer that might be compressed": ["/packed"],
  trailers: ["/trailers"],
  "a redirection that repeats the body": ["--location", "--data", "again", "/moved"],
  "a method of its own": ["--request", "PURGE", "--data", "which", "/echo"],
  OPTIONS: ["--request", "OPTIONS", "/echo"],
  DELETE: ["--request", "DELETE", "/echo"],
  "PATCH with JSON": ["--request", "PATCH", "--json", '{"a":1}', "/echo"],
  "an empty POST": ["--data", "", "/echo"],
  "a form": ["--data-urlencode", "name=grüße & more", "/echo"],
  "cookies and a referrer": ["--cookie", "a=1; b=2", "--referer", "http://from.test/", "/echo"],
  "an empty header field": ["--header", "X-Empty;", "/echo"],
  "an upload": [...WITHOUT_ASKING, "--upload-file", FILE, "/echo"],
  "an upload of unknown length": [...WITHOUT_ASKING, "--upload-file", "-", "/echo"],
  "an upload that asks first": [...ASKING, "--upload-file", FILE, "/echo"],
};

const PATHS = [
  ...[
    "/a/../b",
    "/a/./b",
    "/../../etc/passwd",
    "//double",
    "/a//b/",
    "/%2e%2e/x",
    "/a%2fb",
    "/%00",
  ],
  ...["/%", "/%zz", "/a;b=c", "/?", "/??", "/a?b?c=/../d", "/:80", "/@host", "/\\back", "/a|b^c`d"],
  ...["/{x}[y]", "/'\"<>", "/*", "/http://other/"],
];

interface Shown {
  readonly body: string;
  /** Status and fields of all answers, trailers too. */
  readonly heads: readonly string[];
}

describe("curl sees the application and nothing in between", { timeout: 6 * TIMEOUT_MS }, () => {
  const app = new CurlApp();
  const started = new AsyncDisposableStack();
  let directory: string;
  let harness: Harness;
  let ways: Readonly<Record<string, readonly string[]>>;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-curl-"));
    started.defer(() => rm(directory, { recursive: true }));
    harness = await startHarness({ app: app.answer });
    started.use(harness);
    app.refuseOn(harness.app);
    const fields = Object.entries(await harness.credentials());
    const through = [
      ...["--cacert", harness.caFile],
      ...fields.flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ];
    const base = `https://localhost:${harness.ingress.address.port}`;
    ways = {
      directly: [`http://127.0.0.1:${harness.appPort}`],
      "HTTP/1.1": [base, ...through, "--http1.1"],
      "HTTP/2": [base, ...through, "--http2"],
    };
  });

  after(() => started.disposeAsync());

  beforeEach(() => void (app.expecting = 0));

  /** The command line, with the path made a URL. */
  function commandLine(way: string, args: readonly string[]): string[] {
    const [base = "", ...always] = ways[way] ?? assert.fail();
    const fixed = ["--silent", "--show-error", "--globoff", "--path-as-is", ...always];
    return [...fixed, ...args.slice(0, -1), `${base}${args.at(-1)}`];
  }

  async function curl(way: string, ...args: string[]): Promise<Shown> {
    // A file: curl cannot open a socket by name, which the pipes of a child are.
    const headers = path.join(directory, "headers");
    const line = commandLine(way, ["--dump-header", headers, ...args]);
    const body = await runWithInput("curl", line, "what comes in\n".repeat(10_000));
    const heads = (await readFile(headers, "latin1"))
      .split("\r\n")
      .map((text) => text.replace(/^HTTP\/[\d.]+ (\d+).*/, "$1").replace(/^[\w-]+:/, lowerCase))
      .filter((text) => text !== "" && !NOT_COMPARED.test(text));
    return { body, heads: heads.sort() };
  }

  for (const [name, args] of Object.entries(CASES))
    it(name, async () => {
      const direct = await curl("directly", ...args);
      assert.ok(direct.heads.length > 0);
      for (const way of ["HTTP/1.1", "HTTP/2"])
        assert.deepEqual(await curl(way, ...args), direct, way);
    });

  for (const target of PATHS)
    it(`the path ${target}`, async () => {
      const direct = await curl("directly", target);
      assert.equal((JSON.parse(direct.body) as { url: string }).url, target);
      for (const way of ["HTTP/1.1", "HTTP/2"])
        assert.deepEqual(await curl(way, target), direct, way);
    });

  for (const way of ["HTTP/1.1", "HTTP/2"]) {
    it(`${way}: trailers come after the body`, async () => {
      assert.ok((await curl(way, "/trailers")).heads.includes("x-digest: of it"));
    });

    it(`${way}: events are shown as they come`, { timeout: TIMEOUT_MS }, async () => {
      const child = spawn("curl", commandLine(way, ["--no-buffer", "/events"]));
      assert.equal(await nextText(child), "data: first\n\n");
      app.events.emit("go");
      assert.equal(await nextText(child), "data: second\n\n");
      const hasExited = once(child, "exit");
      app.events.emit("go");
      assert.deepEqual(await hasExited, [0, null]);
    });
  }

  for (const status of [413, 417])
    it(`shows a ${status} instead of sending the body`, async () => {
      const size = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_upload}"];
      const asked = [...size, ...ASKING, "--upload-file", FILE, `/refuse/${status}`];
      const direct = await curl("directly", ...asked);
      assert.equal(direct.body, `${status} 0`);
      assert.deepEqual(await curl("HTTP/1.1", ...asked), direct);
      // Over HTTP/2 curl sends what it has without waiting for the answer.
      assert.deepEqual((await curl("HTTP/2", ...asked)).heads, direct.heads);
      assert.equal(app.expecting, 3);
    });
});

function runWithInput(program: string, args: readonly string[], input: string): Promise<string> {
  const options = { timeout: TIMEOUT_MS, maxBuffer: 16 << 20 };
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, options, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    // A program that reads nothing may have ended before.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

async function nextText({ stdout }: ChildProcess): Promise<string> {
  const [chunk] = (await once(stdout ?? assert.fail(), "data")) as [Buffer];
  return chunk.toString();
}

const lowerCase = (text: string): string => text.toLowerCase();
