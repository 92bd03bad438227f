// Which operation a request is: by method, by what its path names, and by the sub-resource in its query. Whatever is
// not in the table is not implemented, and said to be so rather than ignored.

import { s3Error } from "../../artifacts/s3-errors.ts";
import {
  createBucket,
  deleteBucket,
  getBucketLocation,
  headBucket,
  listBuckets,
} from "./buckets.ts";
import type { S3Operation, S3Target } from "./call.ts";
import { deleteObjects, listObjects, listObjectsV2 } from "./listing.ts";
import {
  abortMultipartUpload,
  completeMultipartUpload,
  createMultipartUpload,
  listMultipartUploads,
  listParts,
  uploadPart,
} from "./multipart.ts";
import {
  copyObject,
  deleteObject,
  getObject,
  headObject,
  OVERRIDE_PARAMETERS,
  putObject,
} from "./objects.ts";

interface S3Route {
  readonly operation: string;
  readonly method: string;
  readonly level: "service" | "bucket" | "object";
  /** Query parameters that make it this operation. */
  readonly needs: readonly string[];
  /** Other query parameters that it takes. */
  readonly takes: readonly string[];
  readonly run: S3Operation;
}

function route(
  [operation, method, level]: [string, string, S3Route["level"]],
  run: S3Operation,
  needs: readonly string[] = [],
  takes: readonly string[] = [],
): S3Route {
  return { operation, method, level, needs, takes, run };
}

const LISTING = ["prefix", "delimiter", "max-keys", "encoding-type"];

export const S3_ROUTES: readonly S3Route[] = [
  route(["ListBuckets", "GET", "service"], listBuckets),
  route(["CreateBucket", "PUT", "bucket"], createBucket),
  route(["HeadBucket", "HEAD", "bucket"], headBucket),
  route(["DeleteBucket", "DELETE", "bucket"], deleteBucket),
  route(["GetBucketLocation", "GET", "bucket"], getBucketLocation, ["location"]),
  route(
    ["ListObjectsV2", "GET", "bucket"],
    listObjectsV2,
    ["list-type"],
    [...LISTING, "continuation-token", "start-after", "fetch-owner"],
  ),
  route(
    ["ListMultipartUploads", "GET", "bucket"],
    listMultipartUploads,
    ["uploads"],
    ["prefix", "encoding-type", "key-marker", "upload-id-marker", "max-uploads"],
  ),
  route(["ListObjects", "GET", "bucket"], listObjects, [], [...LISTING, "marker"]),
  route(["DeleteObjects", "POST", "bucket"], deleteObjects, ["delete"]),
  route(["UploadPart", "PUT", "object"], uploadPart, ["partNumber", "uploadId"]),
  route(["PutObject", "PUT", "object"], putObject),
  route(
    ["ListParts", "GET", "object"],
    listParts,
    ["uploadId"],
    ["max-parts", "part-number-marker"],
  ),
  route(["GetObject", "GET", "object"], getObject, [], OVERRIDE_PARAMETERS),
  route(["HeadObject", "HEAD", "object"], headObject, [], OVERRIDE_PARAMETERS),
  route(["AbortMultipartUpload", "DELETE", "object"], abortMultipartUpload, ["uploadId"]),
  route(["DeleteObject", "DELETE", "object"], deleteObject),
  route(["CreateMultipartUpload", "POST", "object"], createMultipartUpload, ["uploads"]),
  route(["CompleteMultipartUpload", "POST", "object"], completeMultipartUpload, ["uploadId"]),
];

/** Parameters of signatures, headers in the query, and the operation's name, which some clients add for the log. */
const IGNORED = /^(x-id$|x-amz-)/i;

/** The operation of a request. Throws NotImplemented or MethodNotAllowed. */
export function findOperation(method: string, target: S3Target, isCopy: boolean): S3Operation {
  const { bucket, key, query } = target;
  const level = bucket === "" ? "service" : key === "" ? "bucket" : "object";
  const names = [...query.keys()].filter((name) => !IGNORED.test(name));
  const atLevel = S3_ROUTES.filter((each) => each.level === level && each.method === method);
  const found = atLevel.find(
    ({ needs, takes }) =>
      needs.every((name) => query.has(name)) &&
      names.every((name) => needs.includes(name) || takes.includes(name)),
  );
  if (found === undefined) throw refusal(level, atLevel.length > 0, names);
  return isCopy && found.run === putObject ? copyObject : found.run;
}

function refusal(level: string, isKnownMethod: boolean, names: readonly string[]) {
  if (!isKnownMethod && names.length === 0)
    return s3Error("MethodNotAllowed", undefined, { resourceType: level.toUpperCase() });
  return s3Error(
    "NotImplemented",
    `The request implies functionality that is not implemented: ${names.join(", ") || level}`,
  );
}
