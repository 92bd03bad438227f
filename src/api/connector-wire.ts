// Network connectors as the service's JSON: PascalCase, times as ISO 8601 text, unset members left out. Each operation has the members that were observed of it.

import type { ConnectorRecord } from "../connectors/records.ts";

/** Create and delete; the members that all but the list have. */
export function connectorWire(record: ConnectorRecord): object {
  const { subnetIds, securityGroupIds, networkProtocol, associatedComputeResourceTypes } =
    record.configuration;
  return {
    Arn: record.connectorArn,
    Name: record.name,
    Id: record.connectorId,
    Configuration: {
      VpcEgressConfiguration: {
        SubnetIds: subnetIds,
        ...(securityGroupIds.length > 0 && { SecurityGroupIds: securityGroupIds }),
        NetworkProtocol: networkProtocol,
        AssociatedComputeResourceTypes: associatedComputeResourceTypes,
      },
    },
    OperatorRole: record.operatorRole,
    State: record.state,
  };
}

/** Get. */
export function describedConnectorWire(record: ConnectorRecord): object {
  const { version, stateReason } = record;
  return {
    ...updatedConnectorWire(record),
    Version: version,
    ...(stateReason !== null && { StateReason: stateReason }),
  };
}

/** Update. */
export function updatedConnectorWire(record: ConnectorRecord): object {
  const { lastModified, lastUpdateStatus, lastUpdateStatusReason } = record;
  return {
    ...connectorWire(record),
    ...(lastUpdateStatus !== null && { LastUpdateStatus: lastUpdateStatus }),
    ...(lastUpdateStatusReason !== null && { LastUpdateStatusReason: lastUpdateStatusReason }),
    LastModified: isoTime(lastModified),
  };
}

/** One item of the list. */
export function connectorSummaryWire(record: ConnectorRecord): object {
  return {
    Arn: record.connectorArn,
    Name: record.name,
    Id: record.connectorId,
    Type: "VPC_EGRESS",
    State: record.state,
    LastModified: isoTime(record.lastModified),
  };
}

function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
