// The API as the service has it, over the real domain and an SQLite file with as many sleeping microVMs as the argument
// says. Only the host is none: nothing is run, everything can be asked.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createApiServer } from "../../src/api/server.ts";
import { createDomain } from "../../src/domain.ts";
import { openCursorKey } from "../../src/keys/cursor-key.ts";
import { openRootKey } from "../../src/keys/root-key.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createLog } from "../../src/lib/log.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { createTokens } from "../../src/tokens/jwe-tokens.ts";
import { openTokenKeys } from "../../src/tokens/keys.ts";
import { addBuiltImage, SCOPE, someMicrovm } from "../../test/fixtures/domain-records.ts";
import { createFakeHost } from "../../test/fixtures/fake-host.ts";

export interface ApiServerArgument {
  readonly microvms: number;
}

export interface ApiServerReady {
  readonly port: number;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly microvmIds: readonly string[];
}

async function main({ microvms }: ApiServerArgument): Promise<void> {
  const stack = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-bench-api-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const store = stack.use(await openSqliteStore(path.join(directory, "torpor.db")));
  const microvmIds = await fill(store, microvms);
  const clock = systemClock();
  const now = () => clock.now();
  const config = loadConfig(undefined, { dataDir: directory });
  const log = createLog("warn", (line) => process.stderr.write(line));
  const host = {
    ...createFakeHost(),
    recover: async () => ({ running: [], suspended: microvmIds }),
  };
  const domain = stack.use(createDomain({ store, host, clock, log, config }));
  await domain.start(new AbortController().signal);
  const keys = path.join(directory, "keys");
  const rootKey = await openRootKey(keys, SCOPE.account);
  const server = stack.use(
    await createApiServer(
      {
        ...{ microvms: domain.microvms, images: domain.images, connectors: domain.connectors },
        ...{ clock, log, findKey: rootKey.findKey, cursorKey: await openCursorKey(keys) },
        tokens: createTokens({ keys: await openTokenKeys({ now }, keys), now }),
        s3: async (_request, response) => void response.writeHead(501).end(),
        ingressAuthority: (region) => `lambda-microvm.${region}.localhost:7443`,
      },
      { listen: { host: "127.0.0.1", port: 0 } },
    ),
  );
  process.once("SIGTERM", () => void stack.disposeAsync().then(() => process.exit()));
  const { accessKeyId, secretAccessKey } = rootKey;
  const { region } = SCOPE;
  process.send?.({
    ...{ port: server.address.port, accessKeyId, secretAccessKey, region, microvmIds },
  } satisfies ApiServerReady);
}

/** SUSPENDED microVMs, a second apart. */
async function fill(
  store: Awaited<ReturnType<typeof openSqliteStore>>,
  count: number,
): Promise<string[]> {
  await addBuiltImage(store);
  const ids: string[] = [];
  for (let number = 0; number < count; number++) {
    const startedAt = Date.now() - (count - number) * 1000;
    const record = someMicrovm({ state: "SUSPENDED", desired: "SUSPENDED", startedAt });
    await store.microvms.create(record, null);
    ids.push(record.microvmId);
  }
  return ids;
}

await main(JSON.parse(process.argv[2] ?? "{}") as ApiServerArgument);
