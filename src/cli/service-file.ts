// `service.json` in the data directory: where the running service listens, for commands that are told only the
// directory. Ports may be chosen at start, so the configuration alone does not say.

import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";

const schema = z.object({
  /** URL of the API. */
  endpoint: z.url(),
  /** `host:port` of the ingress. */
  ingress: z.string(),
});

export type ServiceAddresses = Readonly<z.output<typeof schema>>;

function fileIn(dataDir: string): string {
  return path.join(dataDir, "service.json");
}

/** Says where the service listens; disposing takes it back. */
export async function publishAddresses(
  dataDir: string,
  addresses: ServiceAddresses,
): Promise<AsyncDisposable> {
  await writeFileDurably(fileIn(dataDir), JSON.stringify(addresses));
  return { [Symbol.asyncDispose]: () => rm(fileIn(dataDir), { force: true }) };
}

/** Removes what a service that was killed left, so that nobody takes its addresses for those of the next one. */
export async function forgetAddresses(dataDir: string): Promise<void> {
  await rm(fileIn(dataDir), { force: true });
}

/** Where the service of this data directory listens; undefined when none has said so. */
export async function readAddresses(dataDir: string): Promise<ServiceAddresses | undefined> {
  try {
    const parsed = schema.safeParse(JSON.parse(await readFile(fileIn(dataDir), "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
