// Builds of image versions as the service's JSON.

import type {
  GetMicrovmImageBuildOutput,
  MicrovmImageBuildSummary,
} from "@aws-sdk/client-lambda-microvms";
import type { BuildRecord } from "../images/records.ts";
import { seconds, type Wire } from "./wire.ts";

type BuildSummaryWire = Wire<MicrovmImageBuildSummary> & { readonly terminationReasonCode: null };

/** One item of ListMicrovmImageBuilds. */
export function buildSummaryWire(record: BuildRecord): BuildSummaryWire {
  return {
    imageArn: record.imageArn,
    imageVersion: record.imageVersion,
    buildId: record.buildId,
    buildState: record.buildState,
    architecture: record.architecture,
    chipset: record.chipset,
    chipsetGeneration: record.chipsetGeneration,
    stateReason: record.stateReason,
    terminationReasonCode: null,
    createdAt: seconds(record.createdAt),
  };
}

/** GetMicrovmImageBuild. */
export function buildWire(
  record: BuildRecord,
): Wire<GetMicrovmImageBuildOutput> & BuildSummaryWire {
  return { ...buildSummaryWire(record), snapshotBuild: record.sizes };
}
