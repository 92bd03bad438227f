import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { XMLParser } from "fast-xml-parser";
import { wireErrorOf } from "../../../src/api/errors.ts";
import { stsReply, xmlErrorReply } from "../../../src/api/routes/sts.ts";
import { ServiceError } from "../../../src/errors.ts";
import { ACCOUNT } from "./fixtures.ts";

const parse = (xml: string): unknown => new XMLParser({ parseTagValue: false }).parse(xml);

describe("stsReply", () => {
  it("answers GetCallerIdentity with the root of the account", () => {
    const reply = stsReply(ACCOUNT, new URLSearchParams("Action=GetCallerIdentity"), "id-1");
    assert.equal(reply.status, 200);
    assert.deepEqual(parse(reply.body), {
      GetCallerIdentityResponse: {
        GetCallerIdentityResult: {
          Arn: `arn:aws:iam::${ACCOUNT}:root`,
          UserId: ACCOUNT,
          Account: ACCOUNT,
        },
        ResponseMetadata: { RequestId: "id-1" },
      },
    });
  });

  it("refuses other actions and none", () => {
    for (const query of ["Action=AssumeRole", ""])
      assert.throws(() => stsReply(ACCOUNT, new URLSearchParams(query), "id"), {
        details: { exception: "UnknownOperationException" },
      });
  });
});

describe("xmlErrorReply", () => {
  it("uses the query protocol's names and escapes the message", () => {
    const details = { exception: "InvalidSignatureException" };
    const error = wireErrorOf(new ServiceError("ACCESS_DENIED", "<a> & 'b'", { details }));
    const reply = xmlErrorReply(error, "id-2");
    assert.equal(reply.status, 403);
    assert.deepEqual(parse(reply.body), {
      ErrorResponse: {
        Error: { Type: "Sender", Code: "SignatureDoesNotMatch", Message: "<a> & 'b'" },
        RequestId: "id-2",
      },
    });
  });

  it("says whose fault it is and nothing of internals", () => {
    const reply = xmlErrorReply(wireErrorOf(new TypeError("secret")), "id-3");
    assert.match(reply.body, /<Type>Receiver<\/Type><Code>InternalFailure<\/Code>/);
    assert.ok(!reply.body.includes("secret"));
  });
});
