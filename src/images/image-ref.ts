// How the host is told which built version is meant.

import type { ImageRef } from "../host/host.ts";
import type { Scope } from "../microvms/records.ts";

/** `{account}/{region}/{name}/{version}`. */
export function imageRefOf({ account, region }: Scope, name: string, version: string): ImageRef {
  return `${account}/${region}/${name}/${version}`;
}
