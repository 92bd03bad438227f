// Failures of the artifact store in S3's words: one table of codes with their status and their place among ours.

import { ServiceError, type ErrorCode } from "../errors.ts";

interface S3Error {
  readonly status: number;
  readonly code: ErrorCode;
  /** Said when the place of the failure has no better words. */
  readonly message: string;
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
export const S3_ERRORS = {
  AccessDenied: { status: 403, code: "ACCESS_DENIED", message: "Access Denied" },
  BadDigest: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "The Content-MD5 or checksum value that you specified did not match what we received.",
  },
  BucketAlreadyOwnedByYou: {
    ...{ status: 409, code: "CONFLICT" },
    message: "Your previous request to create the named bucket succeeded and you already own it.",
  },
  BucketNotEmpty: {
    ...{ status: 409, code: "CONFLICT" },
    message: "The bucket you tried to delete is not empty",
  },
  EntityTooLarge: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Your proposed upload exceeds the maximum allowed size",
  },
  EntityTooSmall: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Your proposed upload is smaller than the minimum allowed size",
  },
  IncompleteBody: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "You did not provide the number of bytes specified by the Content-Length HTTP header.",
  },
  InsufficientStorage: {
    ...{ status: 507, code: "STORAGE_FULL" },
    message: "The artifact store has no storage space left for this request.",
  },
  InternalError: {
    ...{ status: 500, code: "INTERNAL" },
    message: "We encountered an internal error. Please try again.",
  },
  InvalidArgument: { status: 400, code: "VALIDATION_FAILED", message: "Invalid Argument" },
  InvalidBucketName: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "The specified bucket is not valid.",
  },
  InvalidDigest: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "The Content-MD5 or checksum value that you specified is not valid.",
  },
  InvalidPart: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message:
      "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
  },
  InvalidPartOrder: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "The list of parts was not in ascending order. Parts must be ordered by part number.",
  },
  InvalidRange: {
    ...{ status: 416, code: "VALIDATION_FAILED" },
    message: "The requested range is not satisfiable",
  },
  InvalidRequest: { status: 400, code: "VALIDATION_FAILED", message: "Invalid Request" },
  InvalidURI: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Couldn't parse the specified URI.",
  },
  KeyTooLongError: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Your key is too long",
  },
  MalformedXML: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message:
      "The XML you provided was not well-formed or did not validate against our published schema",
  },
  MaxMessageLengthExceeded: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Your request was too big",
  },
  MetadataTooLarge: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "Your metadata headers exceed the maximum allowed metadata size",
  },
  MethodNotAllowed: {
    ...{ status: 405, code: "VALIDATION_FAILED" },
    message: "The specified method is not allowed against this resource.",
  },
  MissingContentLength: {
    ...{ status: 411, code: "VALIDATION_FAILED" },
    message: "You must provide the Content-Length HTTP header.",
  },
  NoSuchBucket: {
    ...{ status: 404, code: "NOT_FOUND" },
    message: "The specified bucket does not exist",
  },
  NoSuchKey: { status: 404, code: "NOT_FOUND", message: "The specified key does not exist." },
  NoSuchUpload: {
    ...{ status: 404, code: "NOT_FOUND" },
    message:
      "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
  },
  NotImplemented: {
    ...{ status: 501, code: "VALIDATION_FAILED" },
    message: "The request implies functionality that is not implemented",
  },
  PreconditionFailed: {
    ...{ status: 412, code: "VALIDATION_FAILED" },
    message: "At least one of the pre-conditions you specified did not hold",
  },
  SignatureDoesNotMatch: {
    ...{ status: 403, code: "ACCESS_DENIED" },
    message: "The request signature we calculated does not match the signature you provided.",
  },
  SlowDown: {
    ...{ status: 503, code: "THROTTLED" },
    message: "Please reduce your request rate.",
  },
  TooManyBuckets: {
    ...{ status: 400, code: "QUOTA_EXCEEDED" },
    message: "You have attempted to create more buckets than allowed",
  },
  XAmzContentSHA256Mismatch: {
    ...{ status: 400, code: "VALIDATION_FAILED" },
    message: "The provided 'x-amz-content-sha256' header does not match what was computed.",
  },
} as const satisfies Record<string, S3Error>;

export type S3ErrorCode = keyof typeof S3_ERRORS;

/** A failure that S3 has a name for, in `details.s3Code`. */
export function s3Error(
  s3Code: S3ErrorCode,
  message: string = S3_ERRORS[s3Code].message,
  details: Readonly<Record<string, unknown>> = {},
): ServiceError {
  return new ServiceError(S3_ERRORS[s3Code].code, message, { details: { ...details, s3Code } });
}
