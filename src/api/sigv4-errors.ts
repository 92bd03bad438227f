// Refusals of a signature: one reason, its name in the REST protocols, and S3's own name and status for it.

import { ServiceError } from "../errors.ts";

export type SignatureRefusal =
  | "missing"
  | "malformed"
  | "malformed-query"
  | "two-signatures"
  | "unknown-key"
  | "unknown-token"
  | "mismatch"
  | "scope-mismatch"
  | "unsigned-headers"
  | "skewed"
  | "expired"
  | "unsupported";

interface RefusalNames {
  /** Exception of the REST protocols. */
  readonly exception: string;
  /** Code and status of S3. */
  readonly s3: readonly [code: string, status: number];
}

const REFUSALS: Readonly<Record<SignatureRefusal, RefusalNames>> = {
  missing: { exception: "MissingAuthenticationTokenException", s3: ["AccessDenied", 403] },
  malformed: {
    exception: "IncompleteSignatureException",
    s3: ["AuthorizationHeaderMalformed", 400],
  },
  "malformed-query": {
    exception: "IncompleteSignatureException",
    s3: ["AuthorizationQueryParametersError", 400],
  },
  "two-signatures": { exception: "IncompleteSignatureException", s3: ["InvalidArgument", 400] },
  "unknown-key": { exception: "UnrecognizedClientException", s3: ["InvalidAccessKeyId", 403] },
  "unknown-token": { exception: "UnrecognizedClientException", s3: ["InvalidToken", 400] },
  mismatch: { exception: "InvalidSignatureException", s3: ["SignatureDoesNotMatch", 403] },
  "scope-mismatch": {
    exception: "InvalidSignatureException",
    s3: ["AuthorizationHeaderMalformed", 400],
  },
  "unsigned-headers": { exception: "InvalidSignatureException", s3: ["AccessDenied", 403] },
  skewed: { exception: "InvalidSignatureException", s3: ["RequestTimeTooSkewed", 403] },
  expired: { exception: "InvalidSignatureException", s3: ["AccessDenied", 403] },
  unsupported: { exception: "IncompleteSignatureException", s3: ["InvalidRequest", 400] },
};

/**
 * ACCESS_DENIED with `details.exception`, the name in the REST protocols, with `details.s3`, code and status in S3, and
 * with `details.wireCode` and `details.wireStatus`, those of the service that the signature names.
 */
export function signatureError(
  refusal: SignatureRefusal,
  service: string,
  message: string,
): ServiceError {
  const { exception, s3 } = REFUSALS[refusal];
  const [wireCode, wireStatus] = service === "s3" ? s3 : [exception, 403];
  return new ServiceError("ACCESS_DENIED", message, {
    details: { refusal, exception, s3: { code: s3[0], status: s3[1] }, wireCode, wireStatus },
  });
}
