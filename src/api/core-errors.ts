// Failures in the words of lambda-core, the API family of network connectors: other exception names than those of
// lambda-microvms, and the text under `Message` in some. The tag operations share one of them.

import { isServiceError, ServiceError } from "../errors.ts";
import { jsonErrorReply, type Reply, type WireError } from "./errors.ts";

interface CoreException {
  readonly name: string;
  readonly status: number;
  /** The member that holds the text. */
  readonly textMember: "message" | "Message";
  readonly members: Readonly<Record<string, string>>;
}

const user = { Type: "User" } as const;

/** By the name that lambda-microvms has for the same failure. Others, such as ValidationException, are the same in both. */
const CORE_EXCEPTIONS: Readonly<Record<string, CoreException>> = {
  InvalidParameterValueException: {
    name: "InvalidParameterValueException",
    status: 400,
    textMember: "message",
    members: user,
  },
  ResourceNotFoundException: {
    name: "ResourceNotFoundException",
    status: 404,
    textMember: "Message",
    members: user,
  },
  ConflictException: {
    name: "ResourceConflictException",
    status: 409,
    textMember: "message",
    members: user,
  },
  ServiceQuotaExceededException: {
    name: "NetworkConnectorLimitExceededException",
    status: 400,
    textMember: "message",
    members: user,
  },
  ThrottlingException: {
    name: "TooManyRequestsException",
    status: 429,
    textMember: "message",
    members: { ...user, Reason: "CallerRateLimitExceeded" },
  },
  InternalServerException: {
    name: "ServiceException",
    status: 500,
    textMember: "Message",
    members: { Type: "Service" },
  },
};

/** Whether a path belongs to lambda-core. */
export function isCorePath(path: string): boolean {
  return path.split("/").find((segment) => segment !== "") === "2026-04-04";
}

/** The response for an error of an operation with this path. */
export function errorReply(path: string, error: WireError): Reply {
  const isCore = isCorePath(path) || error.name === "InvalidParameterValueException";
  return isCore ? coreErrorReply(error) : jsonErrorReply(error);
}

/** The lambda-core response for an error. */
export function coreErrorReply(error: WireError): Reply {
  const core = Object.hasOwn(CORE_EXCEPTIONS, error.name) ? CORE_EXCEPTIONS[error.name] : undefined;
  if (core === undefined) return jsonErrorReply(error);
  return {
    status: core.status,
    headers: {
      "content-type": "application/json",
      "x-amzn-errortype": core.name,
      ...error.headers,
    },
    body: JSON.stringify({ ...core.members, [core.textMember]: error.message }),
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
