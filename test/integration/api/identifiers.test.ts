// What an identifier may look like, and what is answered for one that does not, as the gateway and the service do it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IMAGE_ARN, MICROVM_ID } from "../../unit/api/fixtures.ts";
import { type RawRequest, sendSigned } from "./harness.ts";
import { setUp } from "./image-service.ts";

const IMAGES = "/2025-09-09/microvm-images";
const MICROVMS = "/2025-09-09/microvms";
const UNKNOWN_ID = "microvm-0f0e0d0c-0b0a-3908-8706-0504030201ff";

const page = (title: string) =>
  `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n` +
  `<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;

async function answers(requests: readonly RawRequest[]) {
  await using it = await setUp();
  return await Promise.all(requests.map((raw) => sendSigned(it.harness, raw)));
}

describe("an image identifier", () => {
  it("that is a bare name is refused with 400, in other words when it is to be run", async () => {
    const body = JSON.stringify({ imageIdentifier: "flask" });
    const [run, ...others] = await answers([
      { method: "POST", path: MICROVMS, body },
      { method: "GET", path: `${IMAGES}/flask` },
      { method: "DELETE", path: `${IMAGES}/flask` },
      { method: "GET", path: `${IMAGES}/flask/versions` },
      { method: "GET", path: `${IMAGES}/flask/versions/1.0/builds` },
    ]);
    assert.equal(run?.status, 400);
    assert.equal(run.headers["x-amzn-errortype"], "ValidationException");
    assert.equal(run.body, `{"message":"Malformed ARN - doesn't start with 'arn:'"}`);
    for (const { status, headers, body: answer } of others) {
      assert.equal(status, 400);
      assert.equal(headers["x-amzn-errortype"], "ValidationException");
      assert.equal(answer, '{"message":"Invalid ARN format: flask"}');
    }
  });

  it("spelled with a slash, or of another account, is denied under Message", async () => {
    const slash = IMAGE_ARN.replace(":flask", "/flask");
    const foreign = IMAGE_ARN.replace("000000000000", "111122223333");
    const identifiers = ["microvm-image/flask", slash, foreign];
    const denials = await answers(
      identifiers.map((name) => ({ method: "GET", path: `${IMAGES}/${encodeURIComponent(name)}` })),
    );
    for (const [index, { status, headers, body }] of denials.entries()) {
      assert.equal(status, 403);
      assert.equal(headers["x-amzn-errortype"], "AccessDeniedException");
      const { Message = "", ...rest } = JSON.parse(body) as Record<string, string>;
      assert.deepEqual(rest, {});
      assert.ok(
        Message.includes("is not authorized to perform: lambda:GetMicrovmImage on resource:"),
      );
      assert.ok(Message.includes(identifiers[index] ?? "?"));
    }
  });

  it("of another region is not found", async () => {
    const elsewhere = IMAGE_ARN.replace("us-east-1", "eu-west-1");
    const [missing] = await answers([{ method: "GET", path: `${IMAGES}/${elsewhere}` }]);
    assert.equal(missing?.status, 404);
    assert.deepEqual(JSON.parse(missing.body), {
      message: `MicroVMImage not found for MicroVMImageID: ${elsewhere}`,
      resourceId: null,
      resourceType: null,
    });
  });

  it("with a raw slash in the path meets the gateway's page, with a request id", async () => {
    const raw = `${IMAGES}/${IMAGE_ARN.replace(":flask", "/flask")}`;
    const [lost] = await answers([{ method: "GET", path: raw }]);
    assert.equal(lost?.status, 404);
    assert.equal(lost.headers["content-type"], "text/html");
    assert.equal(lost.headers["x-amzn-errortype"], undefined);
    assert.match(String(lost.headers["x-amzn-requestid"]), /^[0-9a-f-]{36}$/);
    assert.equal(lost.body, page("404 Not Found"));
  });
});

describe("a microVM id", () => {
  it("that cannot be one meets the gateway's page", async () => {
    const body = JSON.stringify({ expirationInMinutes: 5, allowedPorts: [{ port: 80 }] });
    const bad = await answers([
      { method: "GET", path: `${MICROVMS}/mvm-0123` },
      { method: "GET", path: `${MICROVMS}/${MICROVM_ID}0` },
      { method: "DELETE", path: `${MICROVMS}/${MICROVM_ID.replace("microvm-", "")}` },
      { method: "POST", path: `${MICROVMS}/microvm-1/suspend` },
      { method: "POST", path: `${MICROVMS}/${encodeURIComponent("a/b")}/resume` },
      { method: "POST", path: `${MICROVMS}/${"x".repeat(300)}/auth-token`, body },
    ]);
    for (const answer of bad) {
      assert.equal(answer.status, 502);
      assert.equal(answer.headers["content-type"], "text/html");
      assert.equal(answer.headers["x-amzn-errortype"], undefined);
      assert.match(String(answer.headers["x-amzn-requestid"]), /^[0-9a-f-]{36}$/);
      assert.equal(answer.body, page("502 Bad Gateway"));
    }
  });

  it("that nobody has is not found", async () => {
    const [missing] = await answers([{ method: "GET", path: `${MICROVMS}/${UNKNOWN_ID}` }]);
    assert.equal(missing?.status, 404);
    assert.deepEqual(JSON.parse(missing.body), {
      message: `MicroVM not found: ${UNKNOWN_ID}`,
      resourceId: null,
      resourceType: null,
    });
  });
});
