// Network connectors in SQLite.

import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { ConnectorRecord, VpcEgressConfiguration } from "../connectors/records.ts";
import { canMoveConnector, type ConnectorState } from "../connectors/state.ts";
import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";
import type { ConnectorPatch, ConnectorStore } from "./connector-store.ts";
import {
  inTransaction,
  jsonOf,
  jsonOrNull,
  numberOf,
  reading,
  type Row,
  textOf,
  textOrNull,
  toJson,
} from "./sqlite-database.ts";
import { type TokenTable, tokenTable } from "./sqlite-tokens.ts";

const COLUMNS = [
  "connector_id",
  "account",
  "region",
  "name",
  "connector_arn",
  "state",
  "state_reason",
  "version",
  "configuration",
  "operator_role",
  "last_update_status",
  "last_update_status_reason",
  "last_update_token",
  "tags",
  "created_at",
  "last_modified",
] as const;

/** The connector part of a SQLite store. Its methods run to their end without yielding. */
export function sqliteConnectors(db: DatabaseSync): ConnectorStore {
  const sql = statements(db);
  const tokens = tokenTable(db);
  const byId = (connectorId: string) => {
    const row = sql.byId.get(connectorId);
    return row && fromRow(row);
  };
  return {
    async create(record, token, limit) {
      return inTransaction(db, () => {
        const original = originalOf(tokens, record, token);
        const made = original === undefined ? undefined : byId(original);
        if (made !== undefined) return made;
        checkRoom(sql, record, limit);
        sql.insert.run(...toRow(record));
        if (token !== null) tokens.add(record, token, record.connectorId);
        return record;
      });
    },
    async findByToken(scope, token) {
      return reading(() => {
        const original = tokens.find(scope, token);
        return original === undefined ? undefined : byId(original);
      });
    },
    async find({ account, region }, idOrName) {
      const row = reading(() => sql.find.get({ account, region, idOrName }));
      return row && fromRow(row);
    },
    async list({ account, region }, { state }, { maxResults, after }) {
      const rows = reading(() =>
        sql.list.all({
          ...{ account, region, state: state ?? null, after: after ?? "" },
          limit: maxResults + 1,
        }),
      );
      const items = rows.slice(0, maxResults).map(fromRow);
      return { items, next: rows.length > items.length ? (items.at(-1)?.name ?? null) : null };
    },
    async listUnsettled() {
      return reading(() => sql.unsettled.all().map(fromRow));
    },
    async amend(connectorId, change) {
      return inTransaction(db, () => {
        const record = byId(connectorId);
        if (record === undefined)
          throw new ServiceError("NOT_FOUND", `Network connector not found: ${connectorId}`);
        const patch = change(record);
        return patch === null ? record : write(sql, record, patch);
      });
    },
    async remove(connectorId) {
      inTransaction(db, () => {
        const record = byId(connectorId);
        if (record === undefined) return;
        if (record.state !== "DELETING")
          throw new ServiceError(
            "CONFLICT",
            `Cannot remove network connector "${record.name}": it is ${record.state}`,
          );
        tokens.removeOf(connectorId);
        sql.remove.run(connectorId);
      });
    },
  };
}

type Statements = ReturnType<typeof statements>;

function statements(db: DatabaseSync) {
  const select = `SELECT ${COLUMNS.join(", ")} FROM network_connectors`;
  return {
    insert: db.prepare(
      `INSERT INTO network_connectors (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`,
    ),
    update: db.prepare(
      `UPDATE network_connectors SET ${COLUMNS.slice(1)
        .map((column) => `${column} = ?`)
        .join(", ")} WHERE connector_id = ?`,
    ),
    byId: db.prepare(`${select} WHERE connector_id = ?`),
    // An id comes before a name that somebody gave the shape of one.
    find: db.prepare(
      `${select} WHERE account = $account AND region = $region AND (connector_id = $idOrName OR name = $idOrName)
        ORDER BY connector_id <> $idOrName LIMIT 1`,
    ),
    count: db.prepare(
      "SELECT count(*) AS present FROM network_connectors WHERE account = ? AND region = ?",
    ),
    byName: db.prepare(`${select} WHERE account = ? AND region = ? AND name = ?`),
    list: db.prepare(
      `${select} WHERE account = $account AND region = $region AND ($state IS NULL OR state = $state) AND name > $after
        ORDER BY name LIMIT $limit`,
    ),
    unsettled: db.prepare(
      `${select} WHERE state IN ('PENDING', 'DELETING') OR last_update_status = 'InProgress' ORDER BY created_at, connector_id`,
    ),
    remove: db.prepare("DELETE FROM network_connectors WHERE connector_id = ?"),
  };
}

function originalOf(
  tokens: TokenTable,
  scope: Scope,
  token: Parameters<ConnectorStore["create"]>[1],
) {
  return token === null ? undefined : tokens.find(scope, token);
}

function checkRoom(sql: Statements, { account, region, name }: ConnectorRecord, limit: number) {
  if (sql.byName.get(account, region, name) !== undefined)
    throw new ServiceError(
      "CONFLICT",
      `A network connector with the name '${name}' already exists in this account`,
    );
  const row = sql.count.get(account, region);
  if (row !== undefined && numberOf(row, "present") >= limit)
    throw new ServiceError(
      "QUOTA_EXCEEDED",
      "The account has reached the maximum number of network connectors allowed.",
    );
}

function write(sql: Statements, record: ConnectorRecord, patch: ConnectorPatch): ConnectorRecord {
  const { name, state, connectorId } = record;
  const to = patch.state ?? state;
  if (to !== state && !canMoveConnector(state, to))
    throw new ServiceError(
      "CONFLICT",
      `Cannot move network connector "${name}" from ${state} to ${to}`,
    );
  const changed = { ...record, ...patch };
  sql.update.run(...toRow(changed).slice(1), connectorId);
  return changed;
}

function toRow(record: ConnectorRecord): SQLInputValue[] {
  return [
    record.connectorId,
    record.account,
    record.region,
    record.name,
    record.connectorArn,
    record.state,
    record.stateReason,
    record.version,
    toJson(record.configuration),
    record.operatorRole,
    record.lastUpdateStatus,
    record.lastUpdateStatusReason,
    toJson(record.lastUpdateToken),
    toJson(record.tags),
    record.createdAt,
    record.lastModified,
  ];
}

function fromRow(row: Row): ConnectorRecord {
  return {
    connectorId: textOf(row, "connector_id"),
    account: textOf(row, "account"),
    region: textOf(row, "region"),
    name: textOf(row, "name"),
    connectorArn: textOf(row, "connector_arn"),
    state: textOf(row, "state") as ConnectorState,
    stateReason: textOrNull(row, "state_reason"),
    version: numberOf(row, "version"),
    configuration: jsonOf(row, "configuration") as VpcEgressConfiguration,
    operatorRole: textOf(row, "operator_role"),
    lastUpdateStatus: textOrNull(row, "last_update_status") as ConnectorRecord["lastUpdateStatus"],
    lastUpdateStatusReason: textOrNull(row, "last_update_status_reason"),
    lastUpdateToken: jsonOrNull(row, "last_update_token") as ConnectorRecord["lastUpdateToken"],
    tags: jsonOf(row, "tags") as Record<string, string>,
    createdAt: numberOf(row, "created_at"),
    lastModified: numberOf(row, "last_modified"),
  };
}
