// The part of the store that remembers network connectors; as in store.ts, every method is one durable transaction.

import type { ConnectorRecord } from "../connectors/records.ts";
import type { ConnectorState } from "../connectors/state.ts";
import type { Page, PageRequest } from "../microvms/operations.ts";
import type { Scope } from "../microvms/records.ts";
import type { TokenUse } from "./store.ts";

/** Members of a record that may change. */
export type ConnectorPatch = Partial<
  Pick<
    ConnectorRecord,
    | "state"
    | "stateReason"
    | "version"
    | "configuration"
    | "operatorRole"
    | "lastUpdateStatus"
    | "lastUpdateStatusReason"
    | "lastUpdateToken"
    | "tags"
    | "lastModified"
  >
>;

export interface ConnectorStore {
  /**
   * Records a new connector, or returns the one that the same token made before. Rejects CONFLICT for a name in use or a
   * token used with other parameters, QUOTA_EXCEEDED when the account and region have `limit` connectors.
   */
  create(record: ConnectorRecord, token: TokenUse | null, limit: number): Promise<ConnectorRecord>;
  /** What the token made before, if it still exists. Rejects CONFLICT when it was used with other parameters. */
  findByToken(scope: Scope, token: TokenUse): Promise<ConnectorRecord | undefined>;
  /** By id or by name. */
  find(scope: Scope, idOrName: string): Promise<ConnectorRecord | undefined>;
  /** By name. */
  list(
    scope: Scope,
    filter: { readonly state?: ConnectorState },
    page: PageRequest,
  ): Promise<Page<ConnectorRecord>>;
  /** Connectors that are PENDING, DELETING or being updated, of all accounts and regions, oldest first. */
  listUnsettled(): Promise<ConnectorRecord[]>;
  /**
   * Changes a connector. `change` is pure; it returns null to leave the record and may throw. Rejects CONFLICT when
   * CONNECTOR_TRANSITIONS forbids the move, NOT_FOUND.
   */
  amend(
    connectorId: string,
    change: (record: ConnectorRecord) => ConnectorPatch | null,
  ): Promise<ConnectorRecord>;
  /** Forgets a DELETING connector and its token. Safe to call twice. */
  remove(connectorId: string): Promise<void>;
}
