// The one error class and its code table. What a code is called on the wire is api/wire.ts's affair.

export const ERRORS = {
  VALIDATION_FAILED: { status: 400, retryable: false },
  ACCESS_DENIED: { status: 403, retryable: false },
  NOT_FOUND: { status: 404, retryable: false },
  CONFLICT: { status: 409, retryable: false },
  QUOTA_EXCEEDED: { status: 402, retryable: false },
  THROTTLED: { status: 429, retryable: true },
  NO_CAPACITY: { status: 500, retryable: true },
  STORAGE_FULL: { status: 500, retryable: true },
  VMM_FAILED: { status: 500, retryable: true },
  GUEST_UNREACHABLE: { status: 500, retryable: true },
  HOOK_FAILED: { status: 500, retryable: false },
  BUILD_FAILED: { status: 500, retryable: false },
  SETUP_FAILED: { status: 500, retryable: false },
  INTERNAL: { status: 500, retryable: true },
} as const satisfies Record<string, { status: number; retryable: boolean }>;

export type ErrorCode = keyof typeof ERRORS;

export interface ServiceErrorOptions extends ErrorOptions {
  /** Facts a caller or a log reader can use, so that they need not be parsed out of the message. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The only error torpor throws on purpose. The message names the action that failed and, after a colon, the detail. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ServiceErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** Narrows an unknown failure to a ServiceError, optionally of one code. */
export function isServiceError(error: unknown, code?: ErrorCode): error is ServiceError {
  return error instanceof ServiceError && (code === undefined || error.code === code);
}

/** True for a Node system error with one of these codes, for example `hasErrorCode(error, "ENOENT")`. */
export function hasErrorCode(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    codes.includes(error.code)
  );
}

/** The text of any thrown value, for messages and state reasons. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
