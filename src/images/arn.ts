// ARNs of images and of the managed base images: spelling, parsing and the service's own complaints.

import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";

export interface ImageIdentity extends Scope {
  readonly name: string;
  readonly imageArn: string;
}

/** API action an identifier was given to; the service words its refusals by it. */
export type ImageAction =
  | "RunMicrovm"
  | "ListMicrovms"
  | "GetMicrovmImage"
  | "UpdateMicrovmImage"
  | "DeleteMicrovmImage"
  | "GetMicrovmImageVersion"
  | "ListMicrovmImageVersions"
  | "UpdateMicrovmImageVersion"
  | "DeleteMicrovmImageVersion"
  | "GetMicrovmImageBuild"
  | "ListMicrovmImageBuilds"
  | "ListTags"
  | "TagResource"
  | "UntagResource";

const PARTITION = "aws";
const IMAGE_RESOURCE = "microvm-image";
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** The ARN of an image: a colon before the name, unlike most ARNs. */
export function imageArnOf(scope: Scope, name: string): string {
  return `arn:aws:lambda:${scope.region}:${scope.account}:${IMAGE_RESOURCE}:${name}`;
}

/**
 * Which image `identifier` names. Only an ARN of the caller's own account and region is one. Throws VALIDATION_FAILED for
 * other text, ACCESS_DENIED for the slash spelling and for images of other accounts, as the service does, and NOT_FOUND
 * for an image of another region, as Lambda does with its functions.
 */
export function parseImageArn(
  scope: Scope,
  identifier: string,
  action: ImageAction,
): ImageIdentity {
  const [prefix, partition, service, region, account, ...resource] = identifier.split(":");
  const flaw = flawOf(prefix, partition, service, region, account, resource);
  if (flaw !== undefined && action !== "RunMicrovm" && identifier.startsWith(`${IMAGE_RESOURCE}/`))
    throw denied(scope, action, `arn:aws:lambda:${scope.region}:${scope.account}:${identifier}`);
  if (flaw !== undefined) {
    const message = action === "RunMicrovm" ? flaw : `Invalid ARN format: ${identifier}`;
    throw new ServiceError("VALIDATION_FAILED", message);
  }
  if (account !== scope.account || resource[0]?.startsWith(`${IMAGE_RESOURCE}/`) === true)
    throw denied(scope, action, identifier);
  const [type, name, ...rest] = resource;
  if (service !== "lambda" || type !== IMAGE_RESOURCE || rest.length > 0 || !NAME.test(name ?? ""))
    throw new ServiceError("VALIDATION_FAILED", `Invalid ARN format: ${identifier}`);
  if (partition !== PARTITION || region !== scope.region) throw noImage(action, identifier);
  return { ...scope, name: name ?? "", imageArn: imageArnOf(scope, name ?? "") };
}

/** What the service says when its identity management finds no such resource of the caller's. */
function denied({ account }: Scope, action: ImageAction, resource: string): ServiceError {
  const permission = `lambda:${action}`;
  return new ServiceError(
    "ACCESS_DENIED",
    `User: arn:aws:iam::${account}:root is not authorized to perform: ${permission} on resource: ${resource} because no identity-based policy allows the ${permission} action`,
    { details: { textMember: "Message" } },
  );
}

/** NOT_FOUND in the words of an action: running asks for a version, everything else for the image. */
export function noImage(action: ImageAction, imageArn: string): ServiceError {
  return new ServiceError(
    "NOT_FOUND",
    action === "RunMicrovm"
      ? `No active version found for MicroVM image ${imageArn}`
      : `MicroVMImage not found for MicroVMImageID: ${imageArn}`,
  );
}

function flawOf(
  prefix: string | undefined,
  partition: string | undefined,
  service: string | undefined,
  region: string | undefined,
  account: string | undefined,
  resource: readonly string[],
): string | undefined {
  if (prefix !== "arn" || partition === undefined)
    return "Malformed ARN - doesn't start with 'arn:'";
  if (partition === "" || service === undefined)
    return "Malformed ARN - no AWS partition specified";
  if (service === "" || region === undefined) return "Malformed ARN - no service specified";
  if (account === undefined) return "Malformed ARN - no AWS region partition specified";
  if (resource.length === 0) return "Malformed ARN - no AWS account specified";
  if (resource.join("") === "") return "Malformed ARN - no resource specified";
  return undefined;
}

/** `N.0` for `N`; other spellings as they are, to be looked up and not found. */
export function canonicalVersion(imageVersion: string): string {
  return /^\d+$/.test(imageVersion) ? `${imageVersion}.0` : imageVersion;
}
