// What the access log says of requests, and where.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../../../src/lib/log.ts";
import { fetchOnce, MICROVM_ID, startHarness, until } from "./harness.ts";

describe("the access log", () => {
  it("has a line for each request, in the place that is set and nowhere else", async () => {
    const lines: string[] = [];
    const accessLog = createLog("info", (line) => void lines.push(line));
    await using harness = await startHarness({ accessLog, hasAccessLog: true });
    const headers = await harness.credentials();
    const path = "/secret-path?secret-query";
    await fetchOnce(harness, { path, headers, method: "POST", body: "four" });
    await fetchOnce(harness, { path, headers: { "x-aws-proxy-auth": "secret-token" } });
    await until(() => lines.length === 2, "both requests are logged");
    const [served, refused] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.partialDeepStrictEqual(served, {
      ...{ level: "info", message: "Request", method: "POST", status: 200, httpVersion: "1.1" },
      ...{ microvmId: MICROVM_ID, port: harness.appPort, clientAddress: "127.0.0.1" },
      ...{ bytesReceived: 4, bytesSent: 5, waitedMs: 0, clientLeft: false },
    });
    assert.partialDeepStrictEqual(refused, { status: 403, proxyError: "UNAUTHORIZED" });
    assert.doesNotMatch(lines.join(""), /secret/);
    assert.ok(!lines.join("").includes(headers["x-aws-proxy-auth"] ?? "?"));
    assert.ok(harness.logLines.every((line) => !line.includes('"message":"Request"')));
  });

  it("is quiet at info unless it is wanted", async () => {
    await using harness = await startHarness();
    await fetchOnce(harness, { headers: await harness.credentials() });
    const request = () => harness.logLines.find((line) => line.includes('"message":"Request"'));
    await until(() => request() !== undefined, "the request is logged");
    assert.match(request() ?? "", /"level":"debug"/);
  });
});
