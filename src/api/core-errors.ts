// Failures in the words of lambda-core, the API family of network connectors: other exception names than those of
// lambda-microvms, and the text under `Message` in some. The tag operations share one of them.

import { isServiceError, ServiceError } from "../errors.ts";
import { jsonErrorReply, type Reply, type WireError } from "./errors.ts";

interface CoreException {
  readonly name: string;
  readonly status: number;
  /** The member that holds the text. */
  readonly textMember: "message" | "Message";
  /** Beside the text. The model has a `Type` too, which was not in any recorded answer: unset members are left out. */
  readonly members?: Readonly<Record<string, string>>;
}

/** By the name that lambda-microvms has for the same failure. Others, such as ValidationException, are the same in both. */
const CORE_EXCEPTIONS: Readonly<Record<string, CoreException>> = {
  InvalidParameterValueException: {
    name: "InvalidParameterValueException",
    status: 400,
    textMember: "message",
  },
  ResourceNotFoundException: {
    name: "ResourceNotFoundException",
    status: 404,
    textMember: "Message",
  },
  ConflictException: {
    name: "ResourceConflictException",
    status: 409,
    textMember: "message",
  },
  ServiceQuotaExceededException: {
    name: "NetworkConnectorLimitExceededException",
    status: 400,
    textMember: "message",
  },
  ThrottlingException: {
    name: "TooManyRequestsException",
    status: 429,
    textMember: "message",
    members: { Reason: "CallerRateLimitExceeded" },
  },
  InternalServerException: {
    name: "ServiceException",
    status: 500,
    textMember: "Message",
  },
};

/** Whether a path belongs to lambda-core. */
export function isCorePath(path: string): boolean {
  return path.split("/").find((segment) => segment !== "") === "2026-04-04";
}

/** The response for an error of an operation with this path. */
export function errorReply(path: string, error: WireError): Reply {
  if (isCorePath(path)) return coreErrorReply(error);
  // Of the tag operations, which are those of functions: their exceptions say whose fault it is.
  if (error.name === "InvalidParameterValueException")
    return coreErrorReply(error, { Type: "User" });
  return jsonErrorReply(error);
}

/** The lambda-core response for an error. */
export function coreErrorReply(
  error: WireError,
  members: Readonly<Record<string, string>> = {},
): Reply {
  const core = Object.hasOwn(CORE_EXCEPTIONS, error.name) ? CORE_EXCEPTIONS[error.name] : undefined;
  if (core === undefined) return jsonErrorReply(error);
  return {
    status: core.status,
    headers: {
      "content-type": "application/json",
      "x-amzn-errortype": core.name,
      ...error.headers,
    },
    body: JSON.stringify({ ...members, ...core.members, [core.textMember]: error.message }),
  };
}

/** What `work` makes; what the domain refuses about its input is no ValidationException, which is for constraints alone. */
export async function inCoreWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isServiceError(error, "VALIDATION_FAILED") || "exception" in error.details) throw error;
    throw new ServiceError(error.code, error.message, {
      cause: error,
      details: { ...error.details, exception: "InvalidParameterValueException" },
    });
  }
}
