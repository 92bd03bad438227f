// Managed base images as the service's JSON.

import type {
  ManagedMicrovmImageSummary,
  ManagedMicrovmImageVersion,
} from "@aws-sdk/client-lambda-microvms";
import type { ManagedImage, ManagedImageVersion } from "../images/managed.ts";
import { seconds, type Wire } from "./wire.ts";

/** One item of ListManagedMicrovmImages. */
export function managedImageWire(image: ManagedImage): Wire<ManagedMicrovmImageSummary> {
  return {
    imageArn: image.imageArn,
    createdAt: seconds(image.createdAt),
    updatedAt: seconds(image.updatedAt),
  };
}

/** One item of ListManagedMicrovmImageVersions. */
export function managedImageVersionWire(
  version: ManagedImageVersion,
): Wire<ManagedMicrovmImageVersion> {
  return {
    ...managedImageWire(version),
    imageVersion: version.imageVersion,
    status: version.status,
  };
}
