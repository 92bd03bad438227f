// `torpor keys`: access keys of further accounts. A running service sees what changes here at once.

import type { Config } from "../../config.ts";
import { ServiceError } from "../../errors.ts";
import {
  createAccessKey,
  deleteAccessKey,
  listAccessKeys,
  type StoredKey,
} from "../../keys/access-keys.ts";
import { openRootKey } from "../../keys/root-key.ts";
import { dataPaths } from "../../lib/paths.ts";
import { parseArguments, type ParsedArguments } from "../arguments.ts";
import { TORPOR } from "../program.ts";

/** `create --account ID`, `list` or `delete KEY`. */
export async function runKeys(args: string[]): Promise<number> {
  const parsed = parseArguments(args, ["json"], { options: ["account"], positionals: true });
  const [action, ...rest] = parsed.positionals;
  switch (action) {
    case "create":
      return create(parsed, rest);
    case "list":
      return list(parsed, rest);
    case "delete":
      return remove(parsed, rest);
    default:
      throw misuse(
        action === undefined ? "an action is missing" : `there is no action "${action}"`,
      );
  }
}

async function create({ config, flags, values }: ParsedArguments, rest: readonly string[]) {
  const account = values.get("account");
  if (account === undefined || rest.length > 0) throw misuse("create takes --account ID alone");
  const { keys } = dataPaths(config.dataDir);
  const key = await createAccessKey(keys, checkAccount(account), Date.now());
  process.stdout.write(
    flags.has("json")
      ? `${JSON.stringify(key)}\n`
      : `Made access key ${key.accessKeyId} of account ${account}.\nPoint AWS clients at it with: eval "$(${TORPOR} env --account ${account} --data-dir ${config.dataDir})"\n`,
  );
  return 0;
}

async function list({ config, flags }: ParsedArguments, rest: readonly string[]) {
  if (rest.length > 0) throw misuse("list takes nothing more");
  const keys = await listedKeys(config);
  process.stdout.write(flags.has("json") ? `${JSON.stringify(keys)}\n` : keys.map(lineOf).join(""));
  return 0;
}

interface ListedKey extends Pick<StoredKey, "accessKeyId" | "account"> {
  /** Null for the root key. */
  readonly createdAt: string | null;
}

/** Without their secrets. */
async function listedKeys(config: Config): Promise<ListedKey[]> {
  const { keys } = dataPaths(config.dataDir);
  const stored = await listAccessKeys(keys);
  const { accessKeyId } = await openRootKey(keys, config.accountId);
  return [
    { accessKeyId, account: config.accountId, createdAt: null },
    ...stored.map(({ secretAccessKey: _secret, createdAt, ...key }) => ({
      ...key,
      createdAt: new Date(createdAt).toISOString(),
    })),
  ];
}

function lineOf({ accessKeyId, account, createdAt }: ListedKey): string {
  return `${account}  ${accessKeyId}  ${createdAt ?? "root key"}\n`;
}

async function remove({ config }: ParsedArguments, [accessKeyId, ...rest]: readonly string[]) {
  if (accessKeyId === undefined || rest.length > 0) throw misuse("delete takes one access key id");
  await deleteAccessKey(dataPaths(config.dataDir).keys, accessKeyId);
  process.stdout.write(`Access key ${accessKeyId} is no longer valid.\n`);
  return 0;
}

/** Throws VALIDATION_FAILED for anything but twelve digits. */
export function checkAccount(account: string): string {
  if (/^\d{12}$/.test(account)) return account;
  throw new ServiceError("VALIDATION_FAILED", `"${account}" is no account: twelve digits are`);
}

function misuse(problem: string): ServiceError {
  return new ServiceError("VALIDATION_FAILED", `${problem}; see torpor keys --help`);
}
