// The service that expectations are put to: the API server over the domain and the SQLite store, wired as `serve` wires
// them, with a host that has no machines.

import { createSecretKey, type KeyObject, randomBytes, randomUUID, webcrypto } from "node:crypto";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRateLimiter } from "../../../src/api/rate-limit.ts";
import { createApiServer } from "../../../src/api/server.ts";
import { type Config, type ConfigInput, loadConfig } from "../../../src/config.ts";
import { createDomain } from "../../../src/domain.ts";
import { type ErrorCode, ServiceError } from "../../../src/errors.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import { createTokens } from "../../../src/tokens/jwe-tokens.ts";
import type { TokenKey } from "../../../src/tokens/keys.ts";
import { createFakeHost, type FakeHost, type HostCall } from "../../fixtures/fake-host.ts";
import { KEY, OTHER_ACCOUNT, OTHER_KEY } from "../../integration/api/harness.ts";
import { ACCOUNT } from "../../unit/api/fixtures.ts";
import { createPassingClock, type PassingClock } from "./passing-clock.ts";

export type ServiceSettings = Pick<ConfigInput, "quotas" | "managedImages">;

export interface HostFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number>>;
}

export interface ServiceUnderTest extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
  /** The next call of this kind waits until it is released, or the service ends. */
  hold(call: HostCall): void;
  release(call: HostCall): void;
  /** The next call of this kind rejects. */
  fail(call: HostCall, failure: HostFailure): void;
  kill(microvmId: string, reason: string): void;
  pass(seconds: number): void;
  /** Ends everything but host and files, and starts anew over them. */
  restart(): Promise<void>;
}

const ACCOUNTS = new Map([
  [KEY.accessKeyId, { ...KEY, account: ACCOUNT }],
  [OTHER_KEY.accessKeyId, { ...OTHER_KEY, account: OTHER_ACCOUNT }],
]);

/** Starts the service. What it stores is in a file only when it is to be restarted. */
export async function startService(
  settings: ServiceSettings,
  { isRestarted }: { isRestarted: boolean },
): Promise<ServiceUnderTest> {
  await using acquired = new AsyncDisposableStack();
  const directory = isRestarted
    ? acquired.use(await mkdtempDisposable(path.join(tmpdir(), "torpor-conformance-")))
    : undefined;
  const world = await createWorld(settings, directory && path.join(directory.path, "store.db"));
  let running = await start(world);
  const stop = async () => {
    world.releaseAll();
    await running[Symbol.asyncDispose]();
  };
  acquired.defer(stop);
  const resources = acquired.move();
  return {
    get endpoint() {
      return `http://127.0.0.1:${running.port}`;
    },
    get port() {
      return running.port;
    },
    ...controlsOf(world),
    async restart() {
      await stop();
      running = await start(world);
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function createWorld(settings: ServiceSettings, file = ":memory:"): Promise<World> {
  const releases = new Map<HostCall, () => void>();
  return {
    host: createFakeHost(),
    clock: createPassingClock(),
    config: loadConfig(undefined, settings),
    file,
    tokenKeys: [{ kid: randomUUID(), key: await newTokenKey() }],
    cursorKey: createSecretKey(randomBytes(32)),
    releases,
    // A removal that is still held would be waited for without end.
    releaseAll() {
      for (const release of releases.values()) release();
      releases.clear();
    },
  };
}

function controlsOf({
  host,
  clock,
  releases,
}: World): Pick<ServiceUnderTest, "hold" | "release" | "fail" | "kill" | "pass"> {
  return {
    hold: (call) => void releases.set(call, host.hold(call)),
    release(call) {
      releases.get(call)?.();
      releases.delete(call);
    },
    fail(call, { code, message, details = {} }) {
      host.failNext(call, new ServiceError(code, message, { details }));
    },
    kill: (microvmId, reason) => host.kill(microvmId, reason),
    pass: (seconds) => clock.pass(seconds),
  };
}

/** What outlives a restart of the service. */
interface World {
  readonly host: FakeHost;
  readonly clock: PassingClock;
  readonly config: Config;
  readonly file: string;
  readonly tokenKeys: readonly TokenKey[];
  readonly cursorKey: KeyObject;
  /** Of the calls that are held. */
  readonly releases: Map<HostCall, () => void>;
  releaseAll(): void;
}

async function start(world: World): Promise<{ readonly port: number } & AsyncDisposable> {
  const { host, clock, config, file, tokenKeys, cursorKey } = world;
  await using acquired = new AsyncDisposableStack();
  const store = acquired.use(await openSqliteStore(file));
  const domain = acquired.use(createDomain({ store, host, clock, log: silentLog(), config }));
  await domain.start(new AbortController().signal);
  const { enforceRates, rates } = config.quotas;
  const { microvms, images, connectors } = domain;
  const server = acquired.use(
    await createApiServer(
      {
        ...{ microvms, images, connectors, cursorKey },
        ...(enforceRates && { rates: createRateLimiter({ clock: stillClock(clock) }, rates) }),
        tokens: createTokens({ keys: tokenKeys, now: () => clock.now() }),
        findKey: (accessKeyId) => ACCOUNTS.get(accessKeyId),
        s3: async (_request, response) => void response.writeHead(404).end(),
        ingressAuthority: (region) => `lambda-microvm.${region}.localhost:7443`,
        // Signatures are made by clients, who have no other time than the real one.
        clock: systemClock(),
        log: silentLog(),
      },
      { listen: { host: "127.0.0.1", port: 0 } },
    ),
  );
  const resources = acquired.move();
  return {
    port: server.address.port,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Rates must not depend on how fast a client is. */
function stillClock(clock: PassingClock): { now(): number } {
  return { now: () => clock.stillNow() };
}

function newTokenKey(): Promise<webcrypto.CryptoKey> {
  const algorithm = { name: "AES-GCM", length: 256 };
  return webcrypto.subtle.generateKey(algorithm, false, ["encrypt", "decrypt"]);
}
