// The only reader of the environment and of the config file. Everything else gets the frozen Config.

import { readFileSync } from "node:fs";
import path from "node:path";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { messageOf, ServiceError } from "./errors.ts";
import { LOG_LEVELS } from "./lib/log.ts";

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:[\]]+):\d{1,5}$/, 'must be "host:port"')
  .transform((text) => {
    const at = text.lastIndexOf(":");
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
  })
  .refine(({ port }) => port <= 65535, "port must be at most 65535");

const schema = z.strictObject({
  /** Everything torpor keeps: database, keys, assets, images, microVMs, artifacts, logs. */
  dataDir: z.string().min(1).default("/var/lib/torpor"),
  /** Control plane API and artifact store. Port 0 picks a free one. */
  listen: address.prefault("127.0.0.1:7070"),
  /** TLS endpoint of the microVMs. */
  ingressListen: address.prefault("127.0.0.1:7443"),
  logLevel: z.enum(LOG_LEVELS).default("info"),
  /** Region that `torpor env` exports and that the ingress host names carry. */
  region: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .default("us-east-1"),
  /** Twelve digits; the account of the root key. */
  accountId: z
    .string()
    .regex(/^\d{12}$/)
    .default("000000000000"),
  accelerator: z.enum(["auto", "kvm", "tcg"]).default("auto"),
  /** Network slots: IPv4 range for their host-side addresses and how many are kept ready. */
  slots: z
    .strictObject({
      cidr: z.string().default("100.96.0.0/16"),
      ready: z.number().int().min(0).max(64).default(4),
      max: z.number().int().min(1).max(4096).default(1024),
    })
    .prefault({}),
  /** First of the unprivileged user ids that VMM processes run as, one a slot. */
  vmmUidBase: z.number().int().min(1000).default(1_879_048_192),
  /** A real S3 endpoint to fetch code artifacts from instead of the built-in store. */
  s3: z
    .strictObject({
      endpoint: z.url(),
      region: z.string().default("us-east-1"),
      accessKeyId: z.string(),
      secretAccessKey: z.string(),
    })
    .optional(),
  /** How much of what one account may have in one region. */
  quotas: z
    .strictObject({
      images: z.number().int().min(0).default(100),
      versionsPerImage: z.number().int().min(1).default(50),
    })
    .prefault({}),
  /** Hours a terminated microVM stays visible. */
  terminatedRetentionHours: z.number().min(0).default(24),
});

export type Config = Readonly<z.output<typeof schema>>;
export type ConfigInput = z.input<typeof schema>;

/**
 * Merges defaults, the TOML file at `configPath` and `overrides` (command line), later ones winning.
 * Rejects VALIDATION_FAILED naming every bad setting.
 */
export function loadConfig(
  configPath: string | undefined,
  overrides: Partial<ConfigInput>,
): Config {
  const fromFile = configPath === undefined ? {} : readConfigFile(configPath);
  const defined = Object.fromEntries(
    Object.entries(overrides).filter(([, value]) => value !== undefined),
  );
  const result = schema.safeParse({ ...fromFile, ...defined });
  if (!result.success) {
    const problems = result.error.issues
      .map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`)
      .join("; ");
    throw new ServiceError("VALIDATION_FAILED", `Cannot use configuration: ${problems}`);
  }
  return Object.freeze({ ...result.data, dataDir: path.resolve(result.data.dataDir) });
}

function readConfigFile(configPath: string): Record<string, unknown> {
  try {
    return parseToml(readFileSync(configPath, "utf8"));
  } catch (error) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      `Cannot read config file "${configPath}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}
