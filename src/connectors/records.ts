// What the control plane stores about a customer's network connector. Times are epoch milliseconds.

import type { Tags } from "../images/tags.ts";
import type { Scope } from "../microvms/records.ts";
import type { ConnectorState } from "./state.ts";

export interface VpcEgressConfiguration {
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
  readonly networkProtocol: "IPv4" | "DualStack";
  readonly associatedComputeResourceTypes: readonly "MicroVm"[];
}

export interface ConnectorRecord extends Scope {
  /** `nc-{uuid}` */
  readonly connectorId: string;
  readonly connectorArn: string;
  /** Unique in its account and region; never changes. */
  readonly name: string;
  readonly state: ConnectorState;
  readonly stateReason: string | null;
  /** Counts from 1; one more with each change of configuration or role. */
  readonly version: number;
  readonly configuration: VpcEgressConfiguration;
  readonly operatorRole: string;
  /** Null before the first update. */
  readonly lastUpdateStatus: "InProgress" | "Successful" | "Failed" | null;
  readonly lastUpdateStatusReason: string | null;
  /** Client token of the last update that changed something; null when it had none. */
  readonly lastUpdateToken: { readonly token: string; readonly parametersHash: string } | null;
  readonly tags: Tags;
  readonly createdAt: number;
  readonly lastModified: number;
}
