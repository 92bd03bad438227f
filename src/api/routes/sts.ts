// STS as far as every AWS script needs it: GetCallerIdentity, in the query protocol's XML.

import { ServiceError } from "../../errors.ts";
import type { Reply, WireError } from "../errors.ts";

const NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";

/** Names that the query protocol gives to the exceptions of the REST one. */
const QUERY_NAMES: Readonly<Record<string, string>> = {
  InvalidSignatureException: "SignatureDoesNotMatch",
  IncompleteSignatureException: "IncompleteSignature",
  UnrecognizedClientException: "InvalidClientTokenId",
  ExpiredTokenException: "ExpiredToken",
  MissingAuthenticationTokenException: "MissingAuthenticationToken",
  AccessDeniedException: "AccessDenied",
  ValidationException: "ValidationError",
  ThrottlingException: "Throttling",
  InternalServerException: "InternalFailure",
  UnknownOperationException: "InvalidAction",
};

/** Answers a signed request; `parameters` are those of its query and its form body. */
export function stsReply(account: string, parameters: URLSearchParams, requestId: string): Reply {
  const action = parameters.get("Action");
  if (action !== "GetCallerIdentity")
    throw new ServiceError(
      "VALIDATION_FAILED",
      action === null
        ? "The request names no Action"
        : `Could not find operation ${action.slice(0, 64)} for version 2011-06-15`,
      { details: { exception: "UnknownOperationException" } },
    );
  return xmlReply(
    200,
    `<GetCallerIdentityResponse xmlns="${NAMESPACE}"><GetCallerIdentityResult>` +
      `<Arn>arn:aws:iam::${escapeXml(account)}:root</Arn><UserId>${escapeXml(account)}</UserId>` +
      `<Account>${escapeXml(account)}</Account></GetCallerIdentityResult>` +
      `<ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
  );
}

/** The query protocol's response for an error. */
export function xmlErrorReply(error: WireError, requestId: string): Reply {
  const code = QUERY_NAMES[error.name] ?? error.name;
  const fault = error.status < 500 ? "Sender" : "Receiver";
  const reply = xmlReply(
    error.status,
    `<ErrorResponse xmlns="${NAMESPACE}"><Error><Type>${fault}</Type><Code>${escapeXml(code)}</Code>` +
      `<Message>${escapeXml(error.message ?? "")}</Message></Error><RequestId>${requestId}</RequestId></ErrorResponse>`,
  );
  return { ...reply, headers: { ...error.headers, ...reply.headers } };
}

function xmlReply(status: number, body: string): Reply {
  return { status, headers: { "content-type": "text/xml" }, body };
}

function escapeXml(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
