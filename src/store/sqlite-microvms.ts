// MicroVMs in SQLite.

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import { PEAK_FACTOR } from "../images/size-class.ts";
import type {
  DesiredState,
  IdlePolicy,
  Logging,
  MicrovmRecord,
  MicrovmSummary,
} from "../microvms/records.ts";
import { canMove, type MicrovmState } from "../microvms/state.ts";
import {
  inTransaction,
  jsonOf,
  jsonOrNull,
  numberOf,
  numberOrNull,
  reading,
  type Row,
  textOf,
  textOrNull,
  toJson,
} from "./sqlite-database.ts";
import { tokenTable } from "./sqlite-tokens.ts";
import type { MemoryQuota, MicrovmMove, MicrovmPatch, MicrovmStore } from "./store.ts";

const COLUMNS = [
  "microvm_id",
  "account",
  "region",
  "endpoint_id",
  "image_name",
  "image_arn",
  "image_version",
  "state",
  "desired",
  "state_reason",
  "execution_role_arn",
  "ingress_network_connectors",
  "egress_network_connectors",
  "idle_policy",
  "maximum_duration_in_seconds",
  "run_hook_payload",
  "logging",
  "started_at",
  "suspended_at",
  "terminated_at",
  "vmm_id",
] as const;

/** The microVM part of a SQLite store. Its methods run to their end without yielding. */
export function sqliteMicrovms(db: DatabaseSync): MicrovmStore {
  const sql = statements(db);
  const tokens = tokenTable(db);
  const find = (microvmId: string) => {
    const row = sql.byId.get(microvmId);
    return row && fromRow(row);
  };
  const existing = (microvmId: string) => {
    const record = find(microvmId);
    if (record !== undefined) return record;
    throw new ServiceError("NOT_FOUND", `MicroVM not found: ${microvmId}`);
  };
  const write = (record: MicrovmRecord) => {
    sql.update.run(
      record.state,
      record.desired,
      record.stateReason,
      record.runHookPayload,
      record.suspendedAt,
      record.terminatedAt,
      record.vmmId,
      record.microvmId,
    );
    return record;
  };

  return {
    async create(record, token, quota) {
      return inTransaction(db, () => {
        const original = token === null ? undefined : tokens.find(record, token);
        if (original !== undefined) return existing(original);
        const { account, region, imageName, imageVersion, imageArn } = record;
        if (sql.runnable.get(account, region, imageName, imageVersion) === undefined) {
          throw new ServiceError(
            "NOT_FOUND",
            `No active version found for MicroVM image ${imageArn}`,
          );
        }
        sql.insert.run(...toRow(record));
        // With its own row in the sum; the transaction takes it back.
        if (quota !== undefined) checkMemory(sql, record, quota);
        if (token !== null) tokens.add(record, token, record.microvmId);
        return record;
      });
    },
    async findByToken(scope, token) {
      return reading(() => {
        const original = tokens.find(scope, token);
        return original === undefined ? undefined : find(original);
      });
    },
    async get(microvmId) {
      return reading(() => find(microvmId));
    },
    async findByEndpoint(endpointId) {
      const row = reading(() => sql.byEndpoint.get(endpointId));
      return row && fromRow(row);
    },
    async list({ account, region }, { imageArn, imageVersion }, page) {
      const [startedAt, microvmId] = parsePageKey(page.after);
      const rows = reading(() =>
        sql.list.all({
          account,
          region,
          imageArn: imageArn ?? null,
          imageVersion: imageVersion ?? null,
          startedAt,
          microvmId,
          limit: page.maxResults + 1,
        }),
      );
      const items = rows.slice(0, page.maxResults).map(summaryOf);
      const last = items.at(-1);
      const hasMore = rows.length > items.length && last !== undefined;
      return { items, next: hasMore ? pageKeyOf(last) : null };
    },
    async listLive() {
      return reading(() => sql.live.all().map(fromRow));
    },
    async transition(microvmId, move) {
      return inTransaction(db, () => write(moved(existing(microvmId), move)));
    },
    async amend(microvmId, change) {
      return inTransaction(db, () => {
        const record = existing(microvmId);
        const patch = change(record);
        return patch === null ? record : write(patched(record, patch));
      });
    },
    async purgeTerminated(before, limit) {
      return inTransaction(db, () => {
        const ids = sql.purgeable.all(before, limit).map((row) => textOf(row, "microvm_id"));
        for (const microvmId of ids) {
          tokens.removeOf(microvmId);
          sql.remove.run(microvmId);
        }
        return ids.length;
      });
    },
  };
}

function statements(db: DatabaseSync) {
  const select = `SELECT ${COLUMNS.join(", ")} FROM microvms`;
  return {
    insert: db.prepare(
      `INSERT INTO microvms (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`,
    ),
    update: db.prepare(
      "UPDATE microvms SET state = ?, desired = ?, state_reason = ?, run_hook_payload = ?, suspended_at = ?, terminated_at = ?, vmm_id = ? WHERE microvm_id = ?",
    ),
    byId: db.prepare(`${select} WHERE microvm_id = ?`),
    byEndpoint: db.prepare(`${select} WHERE endpoint_id = ?`),
    runnable: db.prepare(
      "SELECT 1 FROM image_versions v JOIN images i ON i.account = v.account AND i.region = v.region AND i.name = v.image_name WHERE v.account = ? AND v.region = ? AND v.image_name = ? AND v.image_version = ? AND v.state = 'SUCCESSFUL' AND v.status = 'ACTIVE' AND i.state <> 'DELETING'",
    ),
    list: rowsAsArrays(
      db.prepare(
        `SELECT microvm_id, state, image_arn, image_version, started_at FROM microvms WHERE account = $account AND region = $region
          AND ($imageArn IS NULL OR image_arn = $imageArn) AND ($imageVersion IS NULL OR image_version = $imageVersion)
          AND ($startedAt IS NULL OR (started_at, microvm_id) < ($startedAt, $microvmId))
          ORDER BY started_at DESC, microvm_id DESC LIMIT $limit`,
      ),
    ),
    live: db.prepare(`${select} WHERE state <> 'TERMINATED' ORDER BY started_at, microvm_id`),
    allocated: db.prepare(
      `SELECT coalesce(sum(m.microvms * (v.configuration ->> '$.memoryMiB')), 0) AS memory_mib
        FROM (SELECT image_name, image_version, count(*) AS microvms FROM microvms
          WHERE account = $account AND region = $region AND state <> 'TERMINATED' GROUP BY image_name, image_version) m
        JOIN image_versions v ON v.account = $account AND v.region = $region AND v.image_name = m.image_name
          AND v.image_version = m.image_version`,
    ),
    building: db.prepare(
      // There are few unfinished versions; without the index named, all of the account's would be read.
      `SELECT coalesce(sum(configuration ->> '$.memoryMiB'), 0) AS memory_mib
        FROM image_versions INDEXED BY image_versions_unfinished
        WHERE state IN ('PENDING', 'IN_PROGRESS') AND state = 'IN_PROGRESS' AND account = $account AND region = $region`,
    ),
    purgeable: db.prepare(
      "SELECT microvm_id FROM microvms WHERE state = 'TERMINATED' AND terminated_at < ? LIMIT ?",
    ),
    remove: db.prepare("DELETE FROM microvms WHERE microvm_id = ?"),
  };
}

/** A page of rows as arrays takes two thirds of the time of a page of objects. */
function rowsAsArrays(statement: StatementSync): StatementSync {
  statement.setReturnArrays(true);
  return statement;
}

/** Throws QUOTA_EXCEEDED when what is recorded in the account and region has more memory than it may. */
function checkMemory(
  sql: ReturnType<typeof statements>,
  { account, region }: MicrovmRecord,
  { limitMiB, countsBuilds, counts }: MemoryQuota,
): void {
  const memoryOf = (statement: StatementSync) =>
    numberOf(statement.get({ account, region }) ?? {}, "memory_mib");
  const baselineMiB = memoryOf(sql.allocated) + (countsBuilds ? memoryOf(sql.building) : 0);
  if (baselineMiB * (counts === "peak" ? PEAK_FACTOR : 1) <= limitMiB) return;
  throw new ServiceError(
    "QUOTA_EXCEEDED",
    "The base maximum allocated memory limit has been reached for this account.",
  );
}

function moved(record: MicrovmRecord, { to, fence, patch }: MicrovmMove): MicrovmRecord {
  const { microvmId, state, vmmId } = record;
  if (!canMove(state, to)) {
    throw new ServiceError("CONFLICT", `Cannot move microvm "${microvmId}" from ${state} to ${to}`);
  }
  if (fence !== undefined && fence !== vmmId) {
    throw new ServiceError(
      "CONFLICT",
      `Cannot move microvm "${microvmId}" to ${to}: vmm "${fence}" does not act for it`,
      { details: { vmmId } },
    );
  }
  return { ...patched(record, patch ?? {}), state: to };
}

/** A wish to terminate is final, whatever a step that was planned before it writes. */
function patched(record: MicrovmRecord, patch: MicrovmPatch): MicrovmRecord {
  const desired = record.desired === "TERMINATED" ? record.desired : patch.desired;
  return { ...record, ...patch, desired: desired ?? record.desired };
}

function toRow(record: MicrovmRecord): SQLInputValue[] {
  return [
    record.microvmId,
    record.account,
    record.region,
    record.endpointId,
    record.imageName,
    record.imageArn,
    record.imageVersion,
    record.state,
    record.desired,
    record.stateReason,
    record.executionRoleArn,
    toJson(record.ingressNetworkConnectors),
    toJson(record.egressNetworkConnectors),
    toJson(record.idlePolicy),
    record.maximumDurationInSeconds,
    record.runHookPayload,
    toJson(record.logging),
    record.startedAt,
    record.suspendedAt,
    record.terminatedAt,
    record.vmmId,
  ];
}

function fromRow(row: Row): MicrovmRecord {
  return {
    microvmId: textOf(row, "microvm_id"),
    account: textOf(row, "account"),
    region: textOf(row, "region"),
    endpointId: textOf(row, "endpoint_id"),
    imageName: textOf(row, "image_name"),
    imageArn: textOf(row, "image_arn"),
    imageVersion: textOf(row, "image_version"),
    state: textOf(row, "state") as MicrovmState,
    desired: textOf(row, "desired") as DesiredState,
    stateReason: textOrNull(row, "state_reason"),
    executionRoleArn: textOrNull(row, "execution_role_arn"),
    ingressNetworkConnectors: jsonOf(row, "ingress_network_connectors") as string[],
    egressNetworkConnectors: jsonOf(row, "egress_network_connectors") as string[],
    idlePolicy: jsonOrNull(row, "idle_policy") as IdlePolicy | null,
    maximumDurationInSeconds: numberOf(row, "maximum_duration_in_seconds"),
    runHookPayload: textOrNull(row, "run_hook_payload"),
    logging: jsonOrNull(row, "logging") as Logging | null,
    startedAt: numberOf(row, "started_at"),
    suspendedAt: numberOrNull(row, "suspended_at"),
    terminatedAt: numberOrNull(row, "terminated_at"),
    vmmId: textOrNull(row, "vmm_id"),
  };
}

/** Of a row of the list, which is an array. */
function summaryOf(row: Row): MicrovmSummary {
  return {
    microvmId: textOf(row, "0"),
    state: textOf(row, "1") as MicrovmState,
    imageArn: textOf(row, "2"),
    imageVersion: textOf(row, "3"),
    startedAt: numberOf(row, "4"),
  };
}

function pageKeyOf({ startedAt, microvmId }: MicrovmSummary): string {
  return `${startedAt}:${microvmId}`;
}

function parsePageKey(key: string | null): [number | null, string | null] {
  if (key === null) return [null, null];
  const match = /^(\d{1,15}):(.{1,100})$/.exec(key);
  if (match === null) throw new ServiceError("VALIDATION_FAILED", "The page key is not valid");
  return [Number(match[1]), match[2] ?? null];
}
