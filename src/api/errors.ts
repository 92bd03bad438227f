// Failures as responses: which exception name, status and body a client sees for each error of ours.

import { ERRORS, isServiceError, type ErrorCode, type ServiceError } from "../errors.ts";
import { gatewayPage } from "./gateway.ts";

/** A response that needs no more work than being written. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface WireException {
  readonly name: string;
  /** Modelled members beside the message; the service sends them as null. */
  readonly members?: readonly string[];
  /** Sent instead of the error's own message, which may hold internals. */
  readonly message?: string;
}

const INTERNAL: WireException = {
  name: "InternalServerException",
  message: "The service encountered an internal error. Try again later.",
};

/** Names and members of the service for our codes; the status is the code's own. */
export const WIRE_EXCEPTIONS: Readonly<Record<ErrorCode, WireException>> = {
  VALIDATION_FAILED: { name: "ValidationException" },
  ACCESS_DENIED: { name: "AccessDeniedException" },
  NOT_FOUND: { name: "ResourceNotFoundException", members: ["resourceId", "resourceType"] },
  CONFLICT: { name: "ConflictException", members: ["resourceId", "resourceType"] },
  QUOTA_EXCEEDED: {
    name: "ServiceQuotaExceededException",
    members: ["quotaCode", "resourceId", "resourceType", "serviceCode"],
  },
  THROTTLED: { name: "ThrottlingException", members: ["quotaCode", "serviceCode"] },
  NO_CAPACITY: { name: "InsufficientCapacityException" },
  STORAGE_FULL: {
    name: "InternalServerException",
    message: "The service has no storage space left for this request.",
  },
  VMM_FAILED: INTERNAL,
  GUEST_UNREACHABLE: INTERNAL,
  HOOK_FAILED: INTERNAL,
  BUILD_FAILED: INTERNAL,
  SETUP_FAILED: INTERNAL,
  INTERNAL,
};

/**
 * Exceptions that no code of ours stands for, because they are about HTTP and signatures rather than about resources.
 * An error chooses one with `details.exception`.
 */
export const EDGE_EXCEPTIONS: Readonly<Record<string, number>> = {
  SerializationException: 400,
  InvalidParameterValueException: 400,
  IncompleteSignatureException: 403,
  InvalidSignatureException: 403,
  MissingAuthenticationTokenException: 403,
  UnrecognizedClientException: 403,
  ExpiredTokenException: 403,
  UnknownOperationException: 404,
  MethodNotAllowedException: 405,
  RequestTimeoutException: 408,
  RequestEntityTooLargeException: 413,
};

/** What one failure is on the wire, before a protocol (JSON or XML) writes it down. */
export interface WireError {
  readonly status: number;
  readonly name: string;
  readonly message: string | null;
  readonly members: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** The member that holds the message; `message` when left out. */
  readonly textMember?: "Message";
  /** Answered with the gateway's page, whatever the protocol. */
  readonly isPage?: true;
}

/**
 * The wire form of any thrown value. An error's `details.exception` chooses an edge exception, `details.wireMessage`
 * null an empty message, `details.textMember` another name for it, `details.gatewayStatus` a page of the gateway. What is
 * not a ServiceError shows nothing of itself.
 */
export function wireErrorOf(error: unknown): WireError {
  const code = isServiceError(error) ? error.code : "INTERNAL";
  const { name, members = [], message } = WIRE_EXCEPTIONS[code];
  const wire: WireError = {
    status: ERRORS[code].status,
    name,
    members,
    message: message ?? (isServiceError(error) ? error.message : null),
    headers: { ...retryAfterOf(code, error), ...allowOf(error) },
  };
  return isServiceError(error) ? { ...wire, ...edgeOverrides(error) } : wire;
}

function edgeOverrides(error: ServiceError): Partial<WireError> {
  const { exception, wireMessage, textMember, gatewayStatus } = error.details;
  if (typeof gatewayStatus === "number") return { status: gatewayStatus, isPage: true };
  const message: Partial<WireError> = {
    ...(wireMessage === null && { message: null }),
    ...(textMember === "Message" && { textMember }),
  };
  if (typeof exception !== "string" || !Object.hasOwn(EDGE_EXCEPTIONS, exception)) return message;
  const status = EDGE_EXCEPTIONS[exception] ?? 403;
  return { status, name: exception, members: [], message: error.message, ...message };
}

/** `Retry-After` in seconds: what the error says, else one second for whatever may pass by itself. */
function retryAfterOf(code: ErrorCode, error: unknown): Record<string, string> {
  const { retryAfterSeconds } = isServiceError(error) ? error.details : {};
  if (typeof retryAfterSeconds === "number")
    return { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) };
  return ERRORS[code].retryable ? { "retry-after": "1" } : {};
}

function allowOf(error: unknown): Record<string, string> {
  const { allowedMethods } = isServiceError(error) ? error.details : {};
  return Array.isArray(allowedMethods) ? { allow: allowedMethods.join(", ") } : {};
}

/** The rest-json response for an error. */
export function jsonErrorReply(error: WireError): Reply {
  if (error.isPage) return pageReply(error);
  // The deserialiser's texts come under `Message`, its empty message under `message` (both recorded).
  const isMismatch = error.name === "SerializationException" && error.message;
  const key = isMismatch ? "Message" : (error.textMember ?? "message");
  const members = Object.fromEntries(error.members.map((member) => [member, null]));
  return {
    status: error.status,
    headers: {
      "content-type": "application/json",
      "x-amzn-errortype": error.name,
      ...error.headers,
    },
    body: JSON.stringify({ [key]: error.message, ...members }),
  };
}

function pageReply({ status }: WireError): Reply {
  return { status, headers: { "content-type": "text/html" }, body: gatewayPage(status) };
}
