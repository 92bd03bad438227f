// What callers may ask of network connectors. Operations record what is wanted; the provisioning brings it about.

import type { Tags } from "../images/tags.ts";
import type { Page, PageRequest } from "../microvms/operations.ts";
import type { Scope } from "../microvms/records.ts";
import type { ConnectorRecord, VpcEgressConfiguration } from "./records.ts";
import type { ConnectorState } from "./state.ts";

/** Members that the service models as optional and yet demands are optional here too, so that it is the domain that demands them. */
export interface ConnectorConfigurationInput {
  readonly subnetIds?: readonly string[];
  readonly securityGroupIds?: readonly string[];
  readonly networkProtocol?: VpcEgressConfiguration["networkProtocol"];
  readonly associatedComputeResourceTypes?: readonly "MicroVm"[];
}

export interface CreateConnectorInput {
  readonly name: string;
  readonly configuration: ConnectorConfigurationInput;
  readonly operatorRole?: string;
  readonly clientToken?: string;
  readonly tags?: Tags;
}

export interface UpdateConnectorInput {
  readonly configuration?: ConnectorConfigurationInput;
  readonly operatorRole?: string;
  readonly clientToken?: string;
}

/** `identifier` is an id, a name or an ARN. Errors are ServiceErrors whose messages are the service's own. */
export interface ConnectorOperations {
  create(scope: Scope, input: CreateConnectorInput): Promise<ConnectorRecord>;
  get(scope: Scope, identifier: string): Promise<ConnectorRecord>;
  list(
    scope: Scope,
    filter: { readonly state?: ConnectorState },
    page: PageRequest,
  ): Promise<Page<ConnectorRecord>>;
  /** The connector as it is afterwards; one that changes nothing says so in `lastUpdateStatusReason`. */
  update(scope: Scope, identifier: string, input: UpdateConnectorInput): Promise<ConnectorRecord>;
  delete(scope: Scope, identifier: string): Promise<ConnectorRecord>;

  getTags(scope: Scope, identifier: string): Promise<Tags>;
  /** Adds tags; one with the key of another replaces it. */
  tag(scope: Scope, identifier: string, tags: Tags): Promise<void>;
  /** Removes the tags with these keys, whether they are there or not. */
  untag(scope: Scope, identifier: string, keys: readonly string[]): Promise<void>;
}
