// How a build fails: BUILD_FAILED with the service's own reason code in `details.reasonCode`.

import { hasErrorCode, ServiceError } from "../errors.ts";

/** The service's names for what a caller can see of a failed build. */
export type BuildFailureReason =
  | "ARCHIVE_DOCKERFILE_NOT_FOUND"
  | "ARCHIVE_INVALID"
  | "CONTAINER_BUILD_FAILED"
  | "DISK_STORAGE_FULL"
  | "INTERNAL_PLATFORM_ERROR";

export interface BuildFailureOptions extends ErrorOptions {
  /** Last lines of the build's log, oldest first. */
  readonly logTail?: readonly string[];
}

/** A BUILD_FAILED error that carries its reason code, ready to be thrown. */
export function buildFailure(
  reasonCode: BuildFailureReason,
  message: string,
  options: BuildFailureOptions = {},
): ServiceError {
  const { logTail, ...rest } = options;
  const details = { reasonCode, ...(logTail === undefined ? {} : { logTail }) };
  return new ServiceError("BUILD_FAILED", message, { ...rest, details });
}

/** True for the operating system's "no space left" and "quota exceeded". */
export function isDiskFull(error: unknown): boolean {
  return hasErrorCode(error, "ENOSPC", "EDQUOT");
}

/** True when a program's output says that the disk is full. */
export function saysDiskFull(output: string): boolean {
  return /no space left on device|disk quota exceeded/i.test(output);
}
