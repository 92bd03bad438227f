// Customers' network connectors. Structured members are JSON text.

export const networkConnectors = {
  version: 10,
  name: "network-connectors",
  sql: `
    CREATE TABLE network_connectors (
      connector_id TEXT PRIMARY KEY,
      account TEXT NOT NULL,
      region TEXT NOT NULL,
      name TEXT NOT NULL,
      connector_arn TEXT NOT NULL,
      state TEXT NOT NULL,
      state_reason TEXT,
      version INTEGER NOT NULL,
      configuration TEXT NOT NULL,
      operator_role TEXT NOT NULL,
      last_update_status TEXT,
      last_update_status_reason TEXT,
      last_update_token TEXT,
      tags TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      last_modified INTEGER NOT NULL,
      UNIQUE (account, region, name)
    ) STRICT;

    CREATE INDEX network_connectors_unsettled ON network_connectors (created_at, connector_id)
      WHERE state IN ('PENDING', 'DELETING') OR last_update_status = 'InProgress';
  `,
} as const;
