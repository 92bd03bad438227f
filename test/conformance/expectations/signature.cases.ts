// Who may call: signatures, good and bad.

import type { Case, RawStep, Step } from "../support/cases.ts";
import { beginning, type Expected, matching } from "../support/match.ts";
import { ACCOUNT } from "./shapes.ts";

const raw = { method: "GET", path: "/2025-09-09/microvms" };
const EMPTY = '{"items":[],"nextToken":null}';
const MISMATCH =
  "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const INVALID_TOKEN = "The security token included in the request is invalid.";
const MINUTE = 60;

const refused = (type: string, message: Expected, step: Partial<RawStep>): Step => ({
  raw,
  ...step,
  status: 403,
  type,
  body: { message },
});

export const SIGNATURE_CASES: readonly Case[] = [
  {
    name: "A signature may be in a header or in the query",
    steps: [
      { raw, status: 200, text: EMPTY },
      { raw, sign: { inQuery: true }, status: 200, text: EMPTY },
    ],
  },
  {
    name: "A signature in the query covers the rest of it, and ends",
    steps: [
      {
        raw: { ...raw, path: "/2025-09-09/microvms?maxResults=51" },
        sign: { inQuery: true },
        status: 400,
        type: "ValidationException",
      },
      refused("InvalidSignatureException", beginning("Signature expired"), {
        sign: { inQuery: true, ageSeconds: 6 * MINUTE },
      }),
    ],
  },
  {
    name: "Without a signature 403 MissingAuthenticationTokenException, whatever is asked",
    steps: [
      refused("MissingAuthenticationTokenException", "Missing Authentication Token", {
        sign: false,
      }),
      refused("MissingAuthenticationTokenException", "Missing Authentication Token", {
        sign: false,
        raw: { method: "GET", path: "/nothing" },
      }),
    ],
  },
  {
    name: "A wrong secret answers 403 InvalidSignatureException",
    steps: [
      refused("InvalidSignatureException", MISMATCH, { sign: { secretAccessKey: "wrong" } }),
      {
        raw: { ...raw, headers: { "x-amz-date": "20260101T000000Z" } },
        status: 403,
        type: "InvalidSignatureException",
      },
    ],
  },
  {
    name: "An unknown key and a session token answer 403 UnrecognizedClientException",
    steps: [
      refused("UnrecognizedClientException", INVALID_TOKEN, {
        sign: { accessKeyId: "AKIAUNKNOWN000000000" },
      }),
      refused("UnrecognizedClientException", INVALID_TOKEN, {
        raw: { ...raw, headers: { "x-amz-security-token": "session" } },
      }),
    ],
  },
  {
    name: "A clock more than five minutes off answers 403 InvalidSignatureException, saying how",
    steps: [
      { raw, sign: { ageSeconds: 4 * MINUTE }, status: 200, text: EMPTY },
      refused(
        "InvalidSignatureException",
        matching(
          /^Signature expired: (\d{8}T\d{6}Z) is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$/,
        ),
        { sign: { ageSeconds: 6 * MINUTE } },
      ),
      refused(
        "InvalidSignatureException",
        matching(
          /^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$/,
        ),
        { sign: { ageSeconds: -6 * MINUTE } },
      ),
    ],
  },
  {
    name: "A broken authorization header answers 403 IncompleteSignatureException",
    steps: [
      {
        raw: { ...raw, headers: { authorization: "AWS4-HMAC-SHA256 Credential=nothing" } },
        sign: false,
        status: 403,
        type: "IncompleteSignatureException",
      },
    ],
  },
  {
    name: "A signature for a service that is not here answers 403 InvalidSignatureException",
    steps: [{ raw, sign: { service: "ec2" }, status: 403, type: "InvalidSignatureException" }],
  },
  {
    name: "Any region works; what cannot be one answers 403 with a null message",
    steps: [
      { raw, sign: { region: "eu-central-9" }, status: 200, text: EMPTY },
      {
        raw,
        sign: { region: "-nowhere-" },
        status: 403,
        type: "AccessDeniedException",
        text: '{"message":null}',
      },
    ],
  },
  {
    name: "Signatures of STS are refused in XML",
    steps: [
      {
        raw: {
          method: "POST",
          path: "/",
          body: "Action=GetCallerIdentity&Version=2011-06-15",
          headers: { "content-type": "application/x-www-form-urlencoded" },
        },
        sign: { service: "sts" },
        status: 200,
        text: new RegExp(`<Account>${ACCOUNT}</Account>`),
        headers: { "content-type": /xml/ },
      },
      {
        raw: { method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15" },
        sign: { service: "sts", secretAccessKey: "wrong" },
        status: 403,
        text: /<Code>(SignatureDoesNotMatch|InvalidSignatureException)<\/Code>/,
      },
    ],
  },
];
