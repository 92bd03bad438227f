// The only reader of the environment and of the config file. Everything else gets the frozen Config.

import { readFileSync } from "node:fs";
import path from "node:path";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { messageOf, ServiceError } from "./errors.ts";
import { DEFAULT_MANAGED_IMAGES, type ManagedImageSettings } from "./images/managed.ts";
import { LOG_LEVELS } from "./lib/log.ts";

const address = z
  .string('must be "host:port"')
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:[\]]+):\d{1,5}$/, 'must be "host:port"')
  .transform((text) => {
    const at = text.lastIndexOf(":");
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
  })
  .refine(({ port }) => port <= 65535, "port must be at most 65535");

const cidr = z.union([z.cidrv4(), z.cidrv6()], "must be addresses like 10.0.0.0/8 or fd00::/8");

const rate = (perSecond: number) => z.number().int().min(1).max(1_000_000).default(perSecond);

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
  /** Regions that requests may be signed for; any unless given. Quotas count in each apart. */
  regions: z
    .array(z.string().regex(/^[a-z0-9-]+$/))
    .min(1)
    .optional(),
  /** Twelve digits; the account of the root key. */
  accountId: z
    .string()
    .regex(/^\d{12}$/, "must be twelve digits")
    .default("000000000000"),
  accelerator: z.enum(["auto", "kvm", "tcg"]).default("auto"),
  /** Network slots: IPv4 range for their host-side addresses and how many are kept ready. */
  slots: z
    .strictObject({
      cidr: z
        .string()
        .regex(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, "must be a.b.c.d/n")
        .default("100.96.0.0/16"),
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
  /** Limits of each account in each region. */
  quotas: z
    .strictObject({
      /** Memory of all microVMs that are not TERMINATED, in MiB. */
      memoryMiB: z.number().int().min(0).default(409_600),
      /** Whether each counts with its baseline or with the peak that the guest sees. */
      memoryCounts: z.enum(["baseline", "peak"]).default("baseline"),
      /** Whether the VMs of builds count as well. */
      memoryCountsBuilds: z.boolean().default(true),
      /** Whether the request rates below are enforced; on one's own hardware there is rarely a reason to. */
      enforceRates: z.boolean().default(false),
      /** Requests a second, and at once, by operation. */
      rates: z
        .strictObject({
          RunMicrovm: rate(5),
          ResumeMicrovm: rate(5),
          SuspendMicrovm: rate(2),
          TerminateMicrovm: rate(10),
          CreateMicrovmAuthToken: rate(50),
          CreateMicrovmShellAuthToken: rate(5),
          GetMicrovm: rate(100),
        })
        .prefault({}),
      /** Customers' network connectors. */
      networkConnectors: z.number().int().min(0).default(100),
      /** Images, and versions of each. */
      images: z.number().int().min(0).default(100),
      versionsPerImage: z.number().int().min(1).default(50),
      /** Versions that wait to be built or are. */
      concurrentBuilds: z.number().int().min(1).default(10),
    })
    .prefault({}),
  /** Managed base images by name, in every account and region; those of the service are there unless set otherwise. */
  managedImages: z
    .record(
      z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, - or _"),
      z.strictObject({
        /** Name of a base that `torpor setup` made. */
        base: z.string().min(1),
        /** Status by version. */
        versions: z.record(
          z.string().regex(/^(0|[1-9]\d{0,8})$/, "must be a whole number"),
          z.enum(["AVAILABLE", "DEPRECATED"]),
        ),
      }),
    )
    .prefault({})
    .transform((given): ManagedImageSettings => ({ ...DEFAULT_MANAGED_IMAGES, ...given })),
  ingress: z
    .strictObject({
      /** Longest wait of a request for a microVM that starts or wakes, in seconds; then it is answered 503. */
      waitSeconds: z.number().min(1).max(300).default(30),
      /** Endpoints are named `{label}.lambda-microvm.{region}.{domain}`. */
      domain: z
        .string()
        .regex(
          /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
          "must be a domain name",
        )
        .max(120)
        .default("localhost"),
      /** Port that clients find endpoints on; that of `ingressListen` unless given. */
      publicPort: z.number().int().min(1).max(65535).optional(),
      /** Load balancers whose connections begin with a PROXY protocol header: addresses in CIDR notation. */
      proxyProtocolFrom: z.array(cidr).min(1).optional(),
      /** Proxies whose `X-Forwarded-*` is believed; if given, that of others is replaced. */
      forwardedFrom: z.array(cidr).optional(),
      /** Whether an endpoint carries no more than the service allows for its microVM's size class. */
      limitsBySize: z.boolean().default(false),
      /** Whether every request to an endpoint is a line of the log, or the file that it is a line of. */
      accessLog: z
        .union([z.boolean(), z.string()], "must be true, false or an absolute path")
        .refine(
          (target) => typeof target === "boolean" || path.isAbsolute(target),
          "must be true, false or an absolute path",
        )
        .default(false),
    })
    .prefault({}),
  /** Files with a certificate for the endpoint names of `ingress.domain`, and its key. */
  tls: z.strictObject({ certificate: z.string().min(1), key: z.string().min(1) }).optional(),
  metrics: z
    .strictObject({
      /** Who may read `/metrics` of the API's port without a signature: addresses in CIDR notation. */
      allow: z.array(cidr).default(["127.0.0.0/8", "::1/128"]),
    })
    .prefault({}),
  traces: z
    .strictObject({
      /** Collector that traces go to, by OTLP over HTTP; there are none unless given. */
      endpoint: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }).optional(),
      /** Fields of the requests to it, to prove who sends them. */
      headers: z
        .record(
          z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, "must be the name of a header field"),
          z.string().regex(/^[\t\x20-\x7e]*$/, "must be printable ASCII"),
        )
        .default({}),
      /** Part of the traces that are recorded, unless a client has decided about its own. */
      sampleRatio: z.number().min(0).max(1).default(1),
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
    const problems = result.error.issues.map(wordIssue).join("; ");
    throw new ServiceError("VALIDATION_FAILED", `Cannot use configuration: ${problems}`);
  }
  return Object.freeze({ ...result.data, dataDir: path.resolve(result.data.dataDir) });
}

function wordIssue(issue: z.core.$ZodIssue): string {
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    return issue.keys
      .map((key) => `there is no setting "${at === "" ? key : `${at}.${key}`}"`)
      .join("; ");
  }
  return `${at}: ${issue.message}`;
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
