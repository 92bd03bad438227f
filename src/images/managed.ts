// The managed base images. Every account and region has them; all stand for the Debian 12 base that set-up made, so that
// a client which names the service's own base gets one that works.

import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";
import { imageArnOf } from "./arn.ts";

export interface ManagedImage {
  readonly imageArn: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ManagedImageVersion extends ManagedImage {
  /** A bare integer, unlike the versions of other images. */
  readonly imageVersion: string;
  readonly status: "AVAILABLE" | "DEPRECATED";
}

interface ManagedVersion {
  readonly version: string;
  readonly status: ManagedImageVersion["status"];
  /** Epoch ms. */
  readonly createdAt: number;
}

/** By name; newest version first. Times are those of the service's launch and of Debian 12's release. */
const MANAGED_IMAGES: ReadonlyMap<string, readonly ManagedVersion[]> = new Map([
  [
    "al2023-1",
    [
      { version: "1", status: "AVAILABLE", createdAt: Date.UTC(2026, 5, 22) },
      { version: "0", status: "AVAILABLE", createdAt: Date.UTC(2026, 5, 22) },
    ],
  ],
  ["debian-12", [{ version: "1", status: "AVAILABLE", createdAt: Date.UTC(2023, 5, 10) }]],
]);

/** The managed images of the region, by name. */
export function managedImages({ region }: Pick<Scope, "region">): ManagedImage[] {
  return [...MANAGED_IMAGES].map(([name, versions]) => {
    const times = versions.map(({ createdAt }) => createdAt);
    return {
      imageArn: managedImageArn(region, name),
      createdAt: Math.min(...times),
      updatedAt: Math.max(...times),
    };
  });
}

/** The versions of a managed image, newest first. Throws VALIDATION_FAILED for what is no ARN, NOT_FOUND. */
export function managedImageVersions(
  { region }: Pick<Scope, "region">,
  imageArn: string,
): ManagedImageVersion[] {
  const versions = findVersions(region, imageArn);
  if (versions !== undefined)
    return versions.map(({ version, status, createdAt }) => ({
      imageArn,
      imageVersion: version,
      status,
      createdAt,
      updatedAt: createdAt,
    }));
  if (imageArn.startsWith("arn:"))
    throw new ServiceError("NOT_FOUND", `MicroVMImage not found for MicroVMImageID: ${imageArn}`);
  throw new ServiceError("VALIDATION_FAILED", `Invalid ARN format: ${imageArn}`);
}

/**
 * The version of a managed base image that is meant: the one named, in its bare integer form, or the latest. Throws
 * VALIDATION_FAILED when there is none.
 */
export function resolveBaseVersion(
  { region }: Pick<Scope, "region">,
  baseImageArn: string,
  baseImageVersion: string | undefined,
): string {
  const versions = findVersions(region, baseImageArn) ?? [];
  const found = versions.find(
    ({ version }) => baseImageVersion === undefined || version === baseImageVersion,
  );
  if (found !== undefined) return found.version;
  throw new ServiceError(
    "VALIDATION_FAILED",
    `No managed MicroVM Image with arn ${baseImageArn} and version ${baseImageVersion ?? "1"} is available`,
  );
}

function findVersions(region: string, imageArn: string): readonly ManagedVersion[] | undefined {
  for (const [name, versions] of MANAGED_IMAGES)
    if (imageArn === managedImageArn(region, name)) return versions;
  return undefined;
}

function managedImageArn(region: string, name: string): string {
  return imageArnOf({ account: "aws", region }, name);
}
