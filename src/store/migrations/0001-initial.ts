// Images with their versions, microVMs, client tokens. Structured members are JSON text.

export const initial = {
  version: 1,
  name: "initial",
  sql: `
    CREATE TABLE images (
      account TEXT NOT NULL,
      region TEXT NOT NULL,
      name TEXT NOT NULL,
      image_arn TEXT NOT NULL,
      image_id TEXT NOT NULL,
      state TEXT NOT NULL,
      latest_active_image_version TEXT,
      latest_failed_image_version TEXT,
      tags TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL,
      PRIMARY KEY (account, region, name)
    ) STRICT;

    CREATE TABLE image_versions (
      account TEXT NOT NULL,
      region TEXT NOT NULL,
      image_name TEXT NOT NULL,
      version_number INTEGER NOT NULL,
      image_version TEXT NOT NULL,
      image_arn TEXT NOT NULL,
      configuration TEXT NOT NULL,
      state TEXT NOT NULL,
      status TEXT NOT NULL,
      state_reason TEXT,
      build_id TEXT NOT NULL UNIQUE,
      build_attempts INTEGER NOT NULL,
      sizes TEXT,
      created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL,
      PRIMARY KEY (account, region, image_name, version_number),
      FOREIGN KEY (account, region, image_name) REFERENCES images (account, region, name)
    ) STRICT;

    CREATE INDEX image_versions_unfinished ON image_versions (created_at)
      WHERE state IN ('PENDING', 'IN_PROGRESS');

    CREATE TABLE microvms (
      microvm_id TEXT PRIMARY KEY,
      account TEXT NOT NULL,
      region TEXT NOT NULL,
      endpoint_id TEXT NOT NULL UNIQUE,
      image_name TEXT NOT NULL,
      image_arn TEXT NOT NULL,
      image_version TEXT NOT NULL,
      state TEXT NOT NULL,
      desired TEXT NOT NULL,
      state_reason TEXT,
      execution_role_arn TEXT,
      ingress_network_connectors TEXT NOT NULL,
      egress_network_connectors TEXT NOT NULL,
      idle_policy TEXT,
      maximum_duration_in_seconds INTEGER NOT NULL,
      run_hook_payload TEXT,
      logging TEXT,
      started_at INTEGER NOT NULL,
      suspended_at INTEGER,
      terminated_at INTEGER,
      vmm_id TEXT
    ) STRICT;

    CREATE INDEX microvms_by_start ON microvms (account, region, started_at DESC, microvm_id DESC);
    CREATE INDEX microvms_live ON microvms (account, region, image_name) WHERE state <> 'TERMINATED';
    CREATE INDEX microvms_terminated ON microvms (terminated_at) WHERE state = 'TERMINATED';

    CREATE TABLE client_tokens (
      account TEXT NOT NULL,
      region TEXT NOT NULL,
      operation TEXT NOT NULL,
      token TEXT NOT NULL,
      parameters_hash TEXT NOT NULL,
      resource_id TEXT NOT NULL,
      PRIMARY KEY (account, region, operation, token)
    ) STRICT;

    CREATE INDEX client_tokens_by_resource ON client_tokens (resource_id);
  `,
} as const;
