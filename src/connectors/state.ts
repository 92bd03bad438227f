// The states of a network connector and the moves between them. The store checks a move against
// this table in the transaction that makes it. INACTIVE and the failures are the service's; nothing here leads to them.

export const CONNECTOR_TRANSITIONS = {
  PENDING: ["ACTIVE", "FAILED"],
  ACTIVE: ["INACTIVE", "DELETING"],
  INACTIVE: ["ACTIVE", "DELETING"],
  FAILED: ["DELETING"],
  DELETING: ["DELETE_FAILED"],
  DELETE_FAILED: ["DELETING"],
} as const satisfies Record<string, readonly string[]>;

export type ConnectorState = keyof typeof CONNECTOR_TRANSITIONS;

export const CONNECTOR_STATES = Object.keys(CONNECTOR_TRANSITIONS) as ConnectorState[];

/** Whether the table allows the move. A state may not move to itself. */
export function canMoveConnector(from: ConnectorState, to: ConnectorState): boolean {
  return (CONNECTOR_TRANSITIONS[from] as readonly ConnectorState[]).includes(to);
}
