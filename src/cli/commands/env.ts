// `torpor env`: the variables that point any AWS client at this service.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../../config.ts";
import { hasErrorCode, ServiceError } from "../../errors.ts";
import { listAccessKeys } from "../../keys/access-keys.ts";
import type { KeyPair } from "../../keys/key-pair.ts";
import { openRootKey } from "../../keys/root-key.ts";
import { writeFileDurably } from "../../lib/files.ts";
import { dataPaths } from "../../lib/paths.ts";
import { parseArguments } from "../arguments.ts";
import { readAddresses } from "../service-file.ts";
import { checkAccount } from "./keys.ts";

/** The first start on a machine may try KVM for half a minute. */
const WAIT_MS = 120_000;
const WAIT_POLL_MS = 100;
const SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

/** Prints `export NAME=value` lines, or one JSON object with `--json`. */
export async function runEnv(args: string[]): Promise<number> {
  const { config, flags, values } = parseArguments(args, ["json", "wait"], {
    options: ["account"],
  });
  if (flags.has("wait")) await untilServed(config.dataDir);
  let variables: Record<string, string>;
  try {
    variables = await clientEnvironment(
      config,
      checkAccount(values.get("account") ?? config.accountId),
    );
  } catch (error) {
    // In eval "$(torpor env)" nothing must pass for success: what follows would reach the real service.
    process.stdout.write(flags.has("json") ? "" : "false\n");
    throw error;
  }
  process.stdout.write(
    flags.has("json")
      ? `${JSON.stringify(variables)}\n`
      : Object.entries(variables)
          .map(([name, value]) => `export ${name}=${quote(value)}\n`)
          .join(""),
  );
  return 0;
}

async function untilServed(dataDir: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (performance.now() < deadline && (await readAddresses(dataDir)) === undefined) {
    await delay(WAIT_POLL_MS);
  }
}

/** The variables; rejects SETUP_FAILED when the service has never run on this data directory, NOT_FOUND. */
async function clientEnvironment(config: Config, account: string): Promise<Record<string, string>> {
  const { keys } = dataPaths(config.dataDir);
  const ca = path.join(keys, "ca.pem");
  await requireServed(ca, config.dataDir);
  const { accessKeyId, secretAccessKey } = await keyOf(config, account);
  const addresses = await readAddresses(config.dataDir);
  const bundle = await writeBundle(keys, ca);
  const { host, port } = config.listen;
  const { host: ingressHost, port: ingressPort } = config.ingressListen;
  return {
    AWS_ENDPOINT_URL: addresses?.endpoint ?? `http://${host}:${port}`,
    AWS_REGION: config.region,
    AWS_DEFAULT_REGION: config.region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_ACCOUNT_ID: account,
    // Node adds to its own trust; Python and OpenSSL replace it, so theirs is the system's bundle with ours added.
    NODE_EXTRA_CA_CERTS: ca,
    REQUESTS_CA_BUNDLE: bundle,
    SSL_CERT_FILE: bundle,
    AWS_CA_BUNDLE: bundle,
    TORPOR_CA: ca,
    TORPOR_INGRESS: addresses?.ingress ?? `${ingressHost}:${ingressPort}`,
  };
}

/** The root key of its account, the newest key of any other. Rejects NOT_FOUND. */
export async function keyOf({ dataDir, accountId }: Config, account: string): Promise<KeyPair> {
  const { keys } = dataPaths(dataDir);
  if (account === accountId) return openRootKey(keys, accountId);
  const found = (await listAccessKeys(keys)).findLast((key) => key.account === account);
  if (found !== undefined) return found;
  throw new ServiceError(
    "NOT_FOUND",
    `Account ${account} has no access key; make one with torpor keys create --account ${account}`,
  );
}

/** Rejects SETUP_FAILED when the service has never run on the data directory. */
export async function requireServed(ca: string, dataDir: string): Promise<void> {
  if ((await readOptional(ca)) !== undefined) return;
  throw new ServiceError(
    "SETUP_FAILED",
    `No service has run on "${dataDir}" yet; start one with torpor serve`,
  );
}

async function writeBundle(keys: string, ca: string): Promise<string> {
  const bundle = path.join(keys, "ca-bundle.pem");
  const content = `${(await readOptional(SYSTEM_BUNDLE)) ?? ""}\n${await readFile(ca, "utf8")}`;
  if ((await readOptional(bundle)) !== content) await writeFileDurably(bundle, content, 0o644);
  return bundle;
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Quotes for POSIX shells. */
function quote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
