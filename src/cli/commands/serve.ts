// `torpor serve`: the composition root. Config → store and adapters → host → domain → edge; ended by a signal, newest first.

import { createHash } from "node:crypto";
import { mkdir, rmdir } from "node:fs/promises";
import path from "node:path";
import { createRateLimiter } from "../../api/rate-limit.ts";
import { createApiServer } from "../../api/server.ts";
import { createS3Handler } from "../../api/s3/handler.ts";
import { openArtifacts } from "../../artifacts/open.ts";
import { createDomain } from "../../domain.ts";
import type { Config } from "../../config.ts";
import { hasErrorCode, ServiceError } from "../../errors.ts";
import { createGuestClient } from "../../guest/client.ts";
import { createLocalHost } from "../../host/local-host.ts";
import { endpointAuthority } from "../../ingress/hostname.ts";
import { limitsBySize } from "../../ingress/limits.ts";
import { createIngress } from "../../ingress/server.ts";
import { checkManagedBases } from "../../images/managed.ts";
import { findAccessKeys } from "../../keys/access-keys.ts";
import { openCursorKey } from "../../keys/cursor-key.ts";
import { findKeyIn } from "../../keys/keys.ts";
import { openRootKey } from "../../keys/root-key.ts";
import { systemClock } from "../../lib/clock.ts";
import { createLog, type Log } from "../../lib/log.ts";
import { openLogFile } from "../../lib/log-file.ts";
import { dataPaths } from "../../lib/paths.ts";
import { observeHost } from "../../metrics/host-metrics.ts";
import { createInstruments, type Instruments } from "../../metrics/metrics.ts";
import { createMicrovmMetrics } from "../../metrics/microvm-metrics.ts";
import { observeExchanges, observeOperations } from "../../metrics/observers.ts";
import { createProbes } from "../../metrics/probes.ts";
import { observeMicrovms } from "../../microvms/live.ts";
import { createSlotPool } from "../../network/slots.ts";
import { locateAssets } from "../../setup/assets.ts";
import { openSqliteStore } from "../../store/sqlite.ts";
import { openAuthority } from "../../tls/authority.ts";
import { createTlsContexts } from "../../tls/contexts.ts";
import { openOwnCertificate } from "../../tls/own-certificate.ts";
import { createTraces, type Traces } from "../../traces/traces.ts";
import { traceHost } from "../../traces/host-traces.ts";
import { createTokens } from "../../tokens/jwe-tokens.ts";
import { openTokenKeys } from "../../tokens/keys.ts";
import { keepRotating } from "../../tokens/rotation.ts";
import { createMemoryPool } from "../../vmm/memory-pool.ts";
import { createQemuDriver, readQemuVersion } from "../../vmm/qemu/driver.ts";
import { chooseAccelerator } from "../../vmm/qemu/probe.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { parseArguments } from "../arguments.ts";
import { TORPOR } from "../program.ts";
import { forgetAddresses, publishAddresses } from "../service-file.ts";

/** Threads that move guest memory; more than two only compete for the same disk. */
const MEMORY_LANES = 2;

/** Serves until SIGTERM or SIGINT, then lets microVMs run on and resolves with 0. */
export async function runServe(args: string[]): Promise<number> {
  const { config, flags } = parseArguments(args, ["json"]);
  const log = createLog(config.logLevel, (line) => process.stderr.write(line));
  const stopping = new AbortController();
  const stop = () => stopping.abort(new DOMException("The service is stopping", "AbortError"));
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  try {
    await using service = await startService(config, log, stopping.signal);
    announce(service, config, flags.has("json"), log);
    await untilAborted(stopping.signal);
    log.info("Stopping; running microVMs go on");
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
  return 0;
}

interface StartedService extends AsyncDisposable {
  readonly endpoint: string;
  readonly ingress: string;
}

async function startService(
  config: Config,
  log: Log,
  signal: AbortSignal,
): Promise<StartedService> {
  if (process.getuid?.() !== 0) {
    throw new ServiceError("SETUP_FAILED", "Cannot serve: network namespaces and QEMU need root");
  }
  // First, so that a machine that is not set up is told so before anything is made.
  const { bases } = await locateAssets(config.dataDir);
  checkManagedBases(
    config.managedImages,
    bases.map(({ name }) => name),
  );
  await using acquired = new AsyncDisposableStack();
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  for (const directory of [paths.keys, paths.images, paths.microvms, paths.logs]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  const instruments = createInstruments(packageJson.version);
  const traces = openTraces(config, instruments, log);
  if (traces !== undefined) acquired.use(traces);
  const trace = traces && { trace: traces.trace };
  const clock = traces?.outside(systemClock()) ?? systemClock();
  const now = () => clock.now();
  // The store is opened first: it also keeps a second service off the same data directory.
  const store = acquired.use(await openSqliteStore(paths.database));
  await forgetAddresses(config.dataDir);
  const rootKey = await openRootKey(paths.keys, config.accountId);
  const findKey = findKeyIn(rootKey.findKey, findAccessKeys({ log, now }, paths.keys));
  const tokens = createTokens({ keys: await openTokenKeys({ now }, paths.keys), now });
  const rotating = new AbortController();
  const rotation = keepRotating({ tokens, clock, log }, paths.keys, rotating.signal);
  acquired.defer(async () => {
    rotating.abort();
    await rotation;
  });
  const authority = await openAuthority({ now, log }, paths.keys);
  const artifacts = acquired.use(await openArtifacts({ log }, config, paths.artifacts));
  const driver = await openDriver(config, acquired, log, signal);
  const slots = acquired.use(
    await createSlotPool(
      { log },
      { dataDir: config.dataDir, uidBase: config.vmmUidBase, ...config.slots },
    ),
  );
  const vmmsDir = runtimeDirectory(config.dataDir);
  acquired.defer(() => removeIfEmpty(vmmsDir));
  const localHost = acquired.use(
    createLocalHost({
      ...{ driver, slots, log, connectGuest: createGuestClient },
      ...{ artifacts: artifacts.reader, locateAssets: () => locateAssets(config.dataDir) },
      ...{ vmmsDir, microvmsDir: paths.microvms },
      ...{ imagesDir: paths.images, buildsDir: paths.builds, logsDir: paths.logs },
      ...{ containersDir: paths.containers, ...trace },
    }),
  );
  const tracedHost = traces === undefined ? localHost : traceHost(traces.trace, localHost);
  const host = observeHost(instruments, tracedHost);
  const microvmMetrics = createMicrovmMetrics(instruments, now);
  const microvms = observeMicrovms(store.microvms, microvmMetrics.written);
  const domain = acquired.use(
    createDomain({ store: { ...store, microvms }, host, clock, log, config, ...trace }),
  );
  for (const record of await store.microvms.listLive()) microvmMetrics.found(record);
  await domain.start(signal);
  const own = config.tls && acquired.use(await openOwnCertificate({ log, now }, config.tls));
  const tls = createTlsContexts({ authority, now, ...(own && { own }) }, config.region);
  const accessLog = await openAccessLog(config, acquired, log);
  const ingress = acquired.use(
    await createIngress(
      {
        ...{ traffic: domain.traffic, tokens, tls, log, ...trace, ...accessLog },
        observe: observeExchanges(instruments),
        shellAccess: (vmmId) => host.shellAccess(vmmId),
        ...(config.ingress.limitsBySize && {
          limitsOf: (record) => limitsBySize(store.images, record),
        }),
      },
      {
        ...{ listen: config.ingressListen, domain: config.ingress.domain },
        hasAccessLog: config.ingress.accessLog !== false,
        ...ingressRules(config),
      },
    ),
  );
  const api = acquired.use(
    await createApiServer(
      {
        ...{ microvms: domain.microvms, images: domain.images, connectors: domain.connectors },
        ...{ tokens, clock, log, ...trace },
        ...(config.quotas.enforceRates && {
          rates: createRateLimiter({ clock }, config.quotas.rates),
        }),
        findKey,
        ...(config.regions && { regions: config.regions }),
        s3: createS3Handler({ artifacts: artifacts.store, findKey, clock, log }),
        ingressAuthority: endpointAuthority(
          config.ingress.domain,
          config.ingress.publicPort ?? ingress.address.port,
        ),
        cursorKey: await openCursorKey(paths.keys),
        observe: observeOperations(instruments),
        probes: createProbes({
          ...{ instruments, slots, dataDir: config.dataDir, allow: config.metrics.allow },
          ...{ stopping: signal, countConnections: () => ingress.countConnections() },
          askStore: () => store.microvms.get("none"),
        }),
      },
      { listen: config.listen },
    ),
  );
  const endpoint = `http://${authorityOf(api.address)}`;
  const ingressAddress = authorityOf(ingress.address);
  acquired.use(await publishAddresses(config.dataDir, { endpoint, ingress: ingressAddress }));
  const resources = acquired.move();
  return {
    endpoint,
    ingress: ingressAddress,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Undefined unless the configuration names a collector. */
function openTraces(
  { traces: { endpoint, ...options } }: Config,
  { traceSpans }: Instruments,
  log: Log,
): Traces | undefined {
  if (endpoint === undefined) return undefined;
  const observe = (outcome: string, count: number) => traceSpans.labels(outcome).inc(count);
  const deps = { clock: systemClock(), log, observe, version: packageJson.version };
  return createTraces(deps, { endpoint, ...options });
}

/** Nothing unless requests are logged to a file. On SIGHUP the file is opened anew, as programs that rotate logs expect. */
async function openAccessLog(
  { ingress: { accessLog } }: Config,
  acquired: AsyncDisposableStack,
  log: Log,
): Promise<{ readonly accessLog?: Log }> {
  if (typeof accessLog === "boolean") return {};
  const file = acquired.use(await openLogFile({ log }, accessLog));
  const reopen = () => file.reopen();
  process.on("SIGHUP", reopen);
  acquired.defer(() => void process.off("SIGHUP", reopen));
  return { accessLog: createLog("info", (line) => file.write(line)) };
}

/** What the ingress has no limits or rules for unless they are given. */
function ingressRules({ ingress: { maxBodyMiB, proxyProtocolFrom, forwardedFrom } }: Config) {
  return {
    ...(maxBodyMiB !== undefined && { maxBodyBytes: maxBodyMiB * 1024 * 1024 }),
    ...(proxyProtocolFrom && { proxyProtocolFrom }),
    ...(forwardedFrom && { forwardedFrom }),
  };
}

async function openDriver(
  config: Config,
  acquired: AsyncDisposableStack,
  log: Log,
  signal: AbortSignal,
) {
  const qemuVersion = await readQemuVersion(signal);
  const { kernelPath, initramfsPath } = await locateAssets(config.dataDir);
  const { accelerator, reason } = await chooseAccelerator(
    {
      ...{ wanted: config.accelerator, qemuVersion, kernelPath, initramfsPath },
      cachePath: path.join(config.dataDir, "accelerator.json"),
      onProbe: () => log.info("Trying KVM with the guest kernel, once for this boot: up to 30 s"),
    },
    signal,
  );
  log.info("Accelerator chosen", { accelerator, reason, qemuVersion });
  const memory = acquired.use(createMemoryPool(MEMORY_LANES));
  return createQemuDriver({ accelerator, qemuVersion, memory });
}

/** Where the VMMs of a data directory have their sockets: short, because a Unix socket's path may have 107 bytes. */
function runtimeDirectory(dataDir: string): string {
  const name = createHash("sha256").update(dataDir).digest("hex").slice(0, 12);
  return `/run/torpor/vmms-${name}`;
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
}

function authorityOf({ host, port }: { host: string; port: number }): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function announce(service: StartedService, config: Config, asJson: boolean, log: Log): void {
  const { endpoint, ingress } = service;
  log.info("Serving", { endpoint, ingress });
  process.stdout.write(
    asJson
      ? `${JSON.stringify({ event: "ready", endpoint, ingress })}\n`
      : `torpor serves: API ${endpoint}, microVMs on ${ingress}
Point AWS clients at it with: eval "$(${TORPOR} env --data-dir ${config.dataDir})"
`,
  );
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
