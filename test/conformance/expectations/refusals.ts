// The refusals of the service, with the body that each has to the last member.

import type { Refusal } from "../support/cases.ts";
import type { Expected, Matcher } from "../support/match.ts";

type Text = string | Matcher;

/** What the domain refuses in the service's words. */
export function invalid(message: Text): Refusal {
  return { status: 400, type: "ValidationException", body: { message } };
}

/** Constraints of the model: all violations in one message, counted. */
export function violates(...violations: readonly string[]): Refusal {
  const { length } = violations;
  const count = `${length} validation error${length === 1 ? "" : "s"} detected`;
  return invalid(`${count}: ${violations.join("; ")}`);
}

/** One violation. Without a value for what is sensitive or long. */
export function at(path: string, must: string, value?: string): string {
  const subject = value === undefined ? "Value" : `Value '${value}'`;
  return `${subject} at '${path}' failed to satisfy constraint: Member must ${must}`;
}

/** What members must do, for `at`. */
export const pattern = (expression: string) => `satisfy regular expression pattern: ${expression}`;
export const atMost = (length: number) => `have length less than or equal to ${length}`;
export const atLeast = (length: number) => `have length greater than or equal to ${length}`;
export const upTo = (value: number) => `have value less than or equal to ${value}`;
export const from = (value: number) => `have value greater than or equal to ${value}`;
export const among = (...values: readonly string[]) =>
  `satisfy enum value set: [${values.join(", ")}]`;

/** The violation of a member that must be there. */
export function missing(path: string): string {
  return `Value null at '${path}' failed to satisfy constraint: Member must not be null`;
}

/** A request that cannot be read. */
export const UNREADABLE: Expected = { message: null };

export function notFound(message: Text): Refusal {
  return {
    status: 404,
    type: "ResourceNotFoundException",
    body: { message, resourceId: null, resourceType: null },
  };
}

export function noImage(arn: string): Refusal {
  return notFound(`MicroVMImage not found for MicroVMImageID: ${arn}`);
}

export function noVersion(arn: string, version: string): Refusal {
  return notFound(`MicroVMImage not found for MicroVMImage: ${arn}, Version: ${version}`);
}

export function conflict(message: Text): Refusal {
  return {
    status: 409,
    type: "ConflictException",
    body: { message, resourceId: null, resourceType: null },
  };
}

export function overQuota(message: Text): Refusal {
  return {
    status: 402,
    type: "ServiceQuotaExceededException",
    body: { message, resourceId: null, resourceType: null, serviceCode: null, quotaCode: null },
  };
}

export const THROTTLED: Refusal = {
  status: 429,
  type: "ThrottlingException",
  body: { message: "Rate exceeded", serviceCode: null, quotaCode: null },
  headers: { "retry-after": /^[1-9]\d*$/ },
};

/** What identity management refuses. Its text is under `Message`. */
export function denied(message: Text): Refusal {
  return { status: 403, type: "AccessDeniedException", body: { Message: message } };
}

/** What a signature is refused for. */
export function unsigned(type: string, message: Text): Refusal {
  return { status: 403, type, body: { message } };
}
