// Operations on buckets.

import { s3Error } from "../../artifacts/s3-errors.ts";
import { bucketRef, type S3Call, type S3Deps, type S3Reply } from "./call.ts";
import { documentBody } from "./payload.ts";
import { childrenOf, parseXml, S3_NAMESPACE, textOfChild, xmlDocument } from "./xml.ts";

const MAX_DOCUMENT_BYTES = 64 * 1024;
/** The region whose buckets have no location constraint, and may be created again by their owner. */
const CLASSIC_REGION = "us-east-1";

/** PUT /bucket */
export async function createBucket({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const region = locationConstraint(await documentBody(call, MAX_DOCUMENT_BYTES)) ?? call.region;
  const isNew = artifacts.buckets.create(bucketRef(call), region);
  if (!isNew && call.region !== CLASSIC_REGION) throw s3Error("BucketAlreadyOwnedByYou");
  return { status: 200, headers: { location: `/${call.bucket}` } };
}

function locationConstraint(document: string): string | undefined {
  if (document.trim() === "") return undefined;
  const configuration = parseXml(document, "CreateBucketConfiguration");
  for (const name of ["Location", "Bucket"])
    if (childrenOf(configuration, name).length > 0)
      throw s3Error("NotImplemented", `CreateBucketConfiguration.${name} is not implemented`);
  const region = textOfChild(configuration, "LocationConstraint");
  if (region !== undefined && !/^[A-Za-z0-9-]{1,64}$/.test(region))
    throw s3Error("InvalidArgument", "The specified location-constraint is not valid");
  return region;
}

/** HEAD /bucket */
export function headBucket({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { region } = artifacts.buckets.get(bucketRef(call));
  return Promise.resolve({ status: 200, headers: { "x-amz-bucket-region": region } });
}

/** DELETE /bucket */
export function deleteBucket({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  artifacts.buckets.delete(bucketRef(call));
  return Promise.resolve({ status: 204 });
}

/** GET /bucket?location */
export function getBucketLocation({ artifacts }: S3Deps, call: S3Call): Promise<S3Reply> {
  const { region } = artifacts.buckets.get(bucketRef(call));
  const constraint = region === CLASSIC_REGION ? "" : region;
  const body = xmlDocument(["LocationConstraint", constraint], S3_NAMESPACE);
  return Promise.resolve({ status: 200, body });
}

/** GET / */
export function listBuckets({ artifacts }: S3Deps, { account }: S3Call): Promise<S3Reply> {
  const buckets = artifacts.buckets.list(account);
  const body = xmlDocument(
    [
      "ListAllMyBucketsResult",
      [
        ["Owner", [["ID", account]]],
        [
          "Buckets",
          buckets.map(({ name, createdAt }) => [
            "Bucket",
            [
              ["Name", name],
              ["CreationDate", new Date(createdAt).toISOString()],
            ],
          ]),
        ],
      ],
    ],
    S3_NAMESPACE,
  );
  return Promise.resolve({ status: 200, body });
}
