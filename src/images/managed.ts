// The managed base images. Every account and region has them; each stands for a base that this host has, so that a client
// which names the service's own base gets one that works.

import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";
import { imageArnOf } from "./arn.ts";

export type ManagedVersionStatus = "AVAILABLE" | "DEPRECATED";

/** One managed image as the configuration has it. */
export interface ManagedImageSetting {
  /** Name of the base on this host, as set-up made it. */
  readonly base: string;
  /** Status by version, a bare integer; both can be built on. */
  readonly versions: Readonly<Record<string, ManagedVersionStatus>>;
}

/** By name. */
export type ManagedImageSettings = Readonly<Record<string, ManagedImageSetting>>;

export interface ManagedImage {
  readonly imageArn: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ManagedImageVersion extends ManagedImage {
  /** A bare integer, unlike the versions of other images. */
  readonly imageVersion: string;
  readonly status: ManagedVersionStatus;
}

type Region = Pick<Scope, "region">;

export interface ManagedImages {
  /** The managed images of the region, by name. */
  list(scope: Region): ManagedImage[];
  /** The versions of a managed image, newest first. Throws VALIDATION_FAILED for what is no ARN, NOT_FOUND. */
  versions(scope: Region, imageArn: string): ManagedImageVersion[];
  /**
   * The version of a managed base image that is meant: the one named, in its bare integer form, or the latest. Throws
   * VALIDATION_FAILED when there is none.
   */
  resolveVersion(scope: Region, baseImageArn: string, baseImageVersion?: string): string;
}

/** What the service has, and the base of this host under its own name. */
export const DEFAULT_MANAGED_IMAGES: ManagedImageSettings = {
  "al2023-1": { base: "debian-12", versions: { 0: "AVAILABLE", 1: "AVAILABLE" } },
  "debian-12": { base: "debian-12", versions: { 1: "AVAILABLE" } },
};

/** The service's launch: when a host's base was made tells a client nothing. */
const CREATED_AT = Date.UTC(2026, 5, 22);
const TIMES = { createdAt: CREATED_AT, updatedAt: CREATED_AT };

/** The managed images that `settings` describe. */
export function createManagedImages(settings: ManagedImageSettings): ManagedImages {
  const names = Object.keys(settings).sort();
  const find = ({ region }: Region, imageArn: string): ManagedImageVersion[] | undefined => {
    const name = names.find((each) => managedImageArn(region, each) === imageArn);
    if (name === undefined) return undefined;
    return Object.entries(settings[name]?.versions ?? {})
      .sort(([a], [b]) => Number(b) - Number(a))
      .map(([imageVersion, status]) => ({ imageArn, imageVersion, status, ...TIMES }));
  };
  return {
    list: ({ region }) =>
      names.map((name) => ({ imageArn: managedImageArn(region, name), ...TIMES })),
    versions(scope, imageArn) {
      const versions = find(scope, imageArn);
      if (versions !== undefined) return versions;
      if (imageArn.startsWith("arn:"))
        throw new ServiceError(
          "NOT_FOUND",
          `MicroVMImage not found for MicroVMImageID: ${imageArn}`,
        );
      throw new ServiceError("VALIDATION_FAILED", `Invalid ARN format: ${imageArn}`);
    },
    resolveVersion(scope, baseImageArn, baseImageVersion) {
      const found = find(scope, baseImageArn)?.find(
        ({ imageVersion }) => baseImageVersion === undefined || imageVersion === baseImageVersion,
      );
      if (found !== undefined) return found.imageVersion;
      throw new ServiceError(
        "VALIDATION_FAILED",
        `No managed MicroVM Image with arn ${baseImageArn} and version ${baseImageVersion ?? "1"} is available`,
      );
    },
  };
}

/** Throws SETUP_FAILED when a managed image stands for a base that is not among `bases`. */
export function checkManagedBases(settings: ManagedImageSettings, bases: readonly string[]): void {
  for (const [name, { base }] of Object.entries(settings))
    if (!bases.includes(base))
      throw new ServiceError(
        "SETUP_FAILED",
        `Cannot offer managed image "${name}": this host has no base "${base}", only: ${bases.join(", ")}`,
      );
}

function managedImageArn(region: string, name: string): string {
  return imageArnOf({ account: "aws", region }, name);
}
