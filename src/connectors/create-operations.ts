// The operations on network connectors: they check, record and hand over to the provisioning.

import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { ServiceError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { checkTags, mergeTags, type Tags, withoutTags } from "../images/tags.ts";
import type { Scope } from "../microvms/records.ts";
import { tokenUseOf } from "../store/client-token.ts";
import type { ConnectorPatch, ConnectorStore } from "../store/connector-store.ts";
import type { TokenUse } from "../store/store.ts";
import { connectorArnOf, parseConnectorIdentifier } from "./arn.ts";
import type {
  ConnectorConfigurationInput,
  ConnectorOperations,
  CreateConnectorInput,
  UpdateConnectorInput,
} from "./operations.ts";
import type { ConnectorRecord, VpcEgressConfiguration } from "./records.ts";
import { canMoveConnector } from "./state.ts";

const NO_CHANGES = {
  lastUpdateStatus: "Successful",
  lastUpdateStatusReason: "No configuration changes detected",
} as const satisfies ConnectorPatch;

export interface ConnectorOperationsDeps {
  readonly connectors: ConnectorStore;
  readonly clock: Pick<Clock, "now">;
  /** Most connectors of an account in a region. */
  readonly limit: number;
  /** Something was recorded that the provisioning has to bring about. */
  readonly onChangeWanted: () => void;
}

/** The operations over a store. */
export function createConnectorOperations(deps: ConnectorOperationsDeps): ConnectorOperations {
  const { connectors, clock } = deps;
  return {
    async create(scope, input) {
      const token = tokenUseOf("CreateNetworkConnector", input);
      if (token === null) throw invalid("ClientToken is a required field");
      const original = await connectors.findByToken(scope, token);
      if (original !== undefined) return original;
      const record = newConnector(scope, input, clock.now());
      const created = await connectors.create(record, token, deps.limit);
      deps.onChangeWanted();
      return created;
    },
    get: (scope, identifier) => existing(connectors, scope, identifier),
    list: (scope, filter, page) => connectors.list(scope, filter, page),
    async update(scope, identifier, input) {
      const { connectorId } = await existing(connectors, scope, identifier);
      const token = tokenUseOf("UpdateNetworkConnector", input);
      let isRepeated = false;
      let isChanged = false;
      const record = await connectors.amend(connectorId, (before) => {
        isRepeated = isRepetition(before, token);
        const patch = isRepeated ? null : changeOf(before, input, token, clock.now());
        isChanged = patch !== null;
        return patch;
      });
      if (isChanged) deps.onChangeWanted();
      return isChanged || isRepeated ? record : { ...record, ...NO_CHANGES };
    },
    async delete(scope, identifier) {
      const { connectorId } = await existing(connectors, scope, identifier);
      if (parseConnectorIdentifier(scope, identifier)?.version !== undefined)
        throw invalid(
          "The latest version cannot be deleted on its own. Delete the connector instead.",
        );
      const deleted = await connectors.amend(connectorId, (record) =>
        deletionOf(record, clock.now()),
      );
      deps.onChangeWanted();
      return deleted;
    },
    ...tagOperations(connectors),
  };
}

function tagOperations(
  connectors: ConnectorStore,
): Pick<ConnectorOperations, "getTags" | "tag" | "untag"> {
  const change = async (scope: Scope, identifier: string, made: (tags: Tags) => Tags) => {
    const { connectorId } = await existing(connectors, scope, identifier);
    await connectors.amend(connectorId, ({ tags }) => ({ tags: made(tags) }));
  };
  return {
    getTags: async (scope, identifier) => (await existing(connectors, scope, identifier)).tags,
    tag: (scope, identifier, added) => change(scope, identifier, (tags) => mergeTags(tags, added)),
    untag: (scope, identifier, keys) =>
      change(scope, identifier, (tags) => withoutTags(tags, keys)),
  };
}

/** Rejects NOT_FOUND, naming the ARN that the identifier would have. */
async function existing(
  connectors: ConnectorStore,
  scope: Scope,
  identifier: string,
): Promise<ConnectorRecord> {
  const parsed = parseConnectorIdentifier(scope, identifier);
  const record = parsed && (await connectors.find(scope, parsed.idOrName));
  // Only the newest version is kept, so it is the only one that can be named.
  if (record !== undefined && (parsed?.version ?? record.version) === record.version) return record;
  const arn = identifier.startsWith("arn:") ? identifier : connectorArnOf(scope, identifier);
  throw new ServiceError("NOT_FOUND", `Network connector not found for: ${arn}`);
}

function newConnector(scope: Scope, input: CreateConnectorInput, now: number): ConnectorRecord {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(input.name))
    throw invalid("Name must be 1 to 64 letters, digits, hyphens or underscores");
  if (input.operatorRole === undefined || input.operatorRole === "")
    throw invalid("NetworkConnectorOperatorRole is required for VPC_EGRESS connector type");
  const connectorId = `nc-${randomUUID()}`;
  return {
    account: scope.account,
    region: scope.region,
    connectorId,
    connectorArn: connectorArnOf(scope, connectorId),
    name: input.name,
    state: "PENDING",
    stateReason: null,
    version: 1,
    configuration: completeConfiguration(input.configuration),
    operatorRole: input.operatorRole,
    lastUpdateStatus: null,
    lastUpdateStatusReason: null,
    lastUpdateToken: null,
    tags: checkTags(input.tags ?? {}),
    createdAt: now,
    lastModified: now,
  };
}

/** The configuration with the members that the service demands although its model does not. */
function completeConfiguration(input: ConnectorConfigurationInput): VpcEgressConfiguration {
  const { subnetIds, securityGroupIds = [], networkProtocol } = input;
  const { associatedComputeResourceTypes } = input;
  if (subnetIds === undefined) throw invalid("SubnetIds cannot be null or empty");
  if (networkProtocol === undefined) throw invalid("NetworkProtocol cannot be null or empty");
  if (associatedComputeResourceTypes === undefined)
    throw invalid("AssociatedComputeResourceTypes cannot be null or empty");
  return { subnetIds, securityGroupIds, networkProtocol, associatedComputeResourceTypes };
}

/** Whether this is the last update once more. Throws CONFLICT when it only has its token. */
function isRepetition({ lastUpdateToken }: ConnectorRecord, token: TokenUse | null): boolean {
  if (token === null || lastUpdateToken?.token !== token.token) return false;
  if (lastUpdateToken.parametersHash === token.parametersHash) return true;
  throw new ServiceError(
    "CONFLICT",
    "The provided clientToken was used with different request parameters",
  );
}

/** What an update changes; null for nothing. */
function changeOf(
  record: ConnectorRecord,
  input: UpdateConnectorInput,
  token: TokenUse | null,
  now: number,
): ConnectorPatch | null {
  if (record.state !== "ACTIVE")
    throw new ServiceError(
      "CONFLICT",
      `Network connector ${record.connectorArn} cannot be updated in state: ${record.state}`,
    );
  const configuration = input.configuration
    ? completeConfiguration(input.configuration)
    : record.configuration;
  const operatorRole = input.operatorRole ?? record.operatorRole;
  if (operatorRole === "")
    throw invalid("NetworkConnectorOperatorRole is required for VPC_EGRESS connector type");
  const isSame =
    operatorRole === record.operatorRole &&
    isDeepStrictEqual(ordered(configuration), ordered(record.configuration));
  if (isSame) return null;
  return {
    configuration,
    operatorRole,
    version: record.version + 1,
    lastUpdateStatus: "InProgress",
    lastUpdateStatusReason: null,
    lastUpdateToken: token && { token: token.token, parametersHash: token.parametersHash },
    lastModified: now,
  };
}

/** What a deletion changes; null when it is under way. */
function deletionOf({ state, connectorArn }: ConnectorRecord, now: number): ConnectorPatch | null {
  if (state === "DELETING") return null;
  if (canMoveConnector(state, "DELETING")) return { state: "DELETING", lastModified: now };
  throw new ServiceError(
    "CONFLICT",
    `Network connector ${connectorArn} cannot be deleted in state: ${state}`,
  );
}

/** Subnets and security groups are sets. */
function ordered(configuration: VpcEgressConfiguration): VpcEgressConfiguration {
  return {
    ...configuration,
    subnetIds: configuration.subnetIds.toSorted(),
    securityGroupIds: configuration.securityGroupIds.toSorted(),
  };
}

function invalid(message: string): ServiceError {
  return new ServiceError("VALIDATION_FAILED", message);
}
