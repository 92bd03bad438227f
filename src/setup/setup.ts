// All of `torpor setup`, in order: packages, then the products made with them. Each step is skipped when its result is
// there; a step that fails leaves nothing behind and says what to do.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { messageOf, ServiceError } from "../errors.ts";
import { dataPaths } from "../lib/paths.ts";
import { agentFingerprint, buildAgent, readRequiredRustVersion } from "./agent.ts";
import {
  BASE_NAME,
  baseImageFingerprint,
  buildBaseImage,
  resolveBaseArchive,
} from "./base-image.ts";
import type { RunCommand } from "./command.ts";
import { buildInitramfs, initramfsFingerprint } from "./initramfs.ts";
import { buildKernel, kernelFingerprint, openKernelApt, resolveKernelPackage } from "./kernel.ts";
import { acquireLock } from "./lock.ts";
import {
  DEVELOPMENT_PACKAGES,
  findMissingPackages,
  installPackages,
  RUNTIME_PACKAGES,
  SETUP_PACKAGES,
  updateIndexes,
} from "./packages.ts";
import type { PrivateApt } from "./private-apt.ts";
import {
  ensureProduct,
  type Product,
  type ProductSpec,
  pruneProducts,
  TEMPORARY_PREFIX,
} from "./product.ts";
import { createProgress, type Progress, type StepProgress } from "./progress.ts";
import { readRelease } from "./release.ts";
import { findRustPackages, lacksRust } from "./rust-toolchain.ts";

export interface SetupDeps {
  readonly run: RunCommand;
  readonly write: (line: string) => void;
  readonly now: () => number;
  readonly isRoot: boolean;
}

export interface SetupOptions {
  readonly dataDir: string;
  /** Looks for newer packages even when all products are there. */
  readonly refresh: boolean;
  /** Installs what the tests and the examples need, too. */
  readonly development: boolean;
}

interface StepContext {
  readonly deps: SetupDeps;
  readonly options: SetupOptions;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

const STEP_COUNT = 5;

/** Makes the machine and the data directory ready to serve. Rejects SETUP_FAILED saying what to do. */
export async function setUp(
  deps: SetupDeps,
  options: SetupOptions,
  signal: AbortSignal,
): Promise<void> {
  await readRelease();
  const paths = dataPaths(options.dataDir);
  // VMM processes run as users of their own and reach their files through this directory.
  await mkdir(paths.root, { recursive: true, mode: 0o711 });
  const waiting = (holder: string) => deps.write(`Waiting for another set-up (${holder})`);
  using held = new DisposableStack();
  held.use(await acquireLock(path.join(paths.root, "setup.lock"), waiting, signal));
  const progress = createProgress(deps, STEP_COUNT);
  const context = { deps, options, progress, signal };
  await installStep(context);
  const kernel = await kernelStep(context);
  const agent = await agentStep(context);
  await initramfsStep(context, kernel, agent);
  await baseImageStep(context);
}

async function installStep({ deps, options, progress, signal }: StepContext): Promise<void> {
  await progress.step("packages", async (step) => {
    const wanted = [
      ...RUNTIME_PACKAGES,
      ...SETUP_PACKAGES,
      ...(options.development ? DEVELOPMENT_PACKAGES : []),
    ].map(({ name }) => name);
    const missing = await findMissingPackages(deps.run, wanted, signal);
    const rust = { need: await readRequiredRustVersion(), withTools: options.development };
    const needsRust = await lacksRust(deps.run, rust, signal);
    if (missing.length === 0 && !needsRust) return "all there";
    const packageDeps = {
      run: deps.run,
      isRoot: deps.isRoot,
      onOutput: step.output,
      doing: step.doing,
    };
    const updateFailure = await updateIndexes(packageDeps, signal);
    const rustPackages = needsRust ? await findRustPackages(deps.run, rust, signal) : [];
    const names = [...missing, ...rustPackages];
    await installPackages(packageDeps, { names, updateFailure }, signal);
    return `installed ${names.join(" ")}`;
  });
}

async function kernelStep(context: StepContext): Promise<Product> {
  const { deps } = context;
  const home = dataPaths(context.options.dataDir).assets;
  await using scratch = await createScratch(home, "kernel");
  let apt: PrivateApt | undefined;
  const openApt = async (signal: AbortSignal) =>
    (apt ??= await openKernelApt(deps.run, scratch.directory, signal));
  // Awaited here: the scratch directory must outlive the step.
  return await productStep(context, "guest kernel", "kernel", async (step) => ({
    home,
    fingerprint: await kernelFingerprint(),
    async resolveUpstream(signal) {
      step.doing("asking the Debian mirror for the newest");
      return resolveKernelPackage(await openApt(signal), signal);
    },
    async build(directory, packageName, signal) {
      const kernelDeps = { run: deps.run, doing: step.doing };
      const options = { directory, packageName, apt: await openApt(signal) };
      return buildKernel(kernelDeps, options, signal);
    },
  }));
}

async function agentStep(context: StepContext): Promise<Product> {
  return productStep(context, "guest agent", "agent", async (step) => ({
    home: dataPaths(context.options.dataDir).assets,
    fingerprint: await agentFingerprint(),
    build: (directory, _upstream, signal) =>
      buildAgent(
        { run: context.deps.run, doing: step.doing, onOutput: step.output },
        directory,
        signal,
      ),
  }));
}

async function initramfsStep(
  context: StepContext,
  kernel: Product,
  agent: Product,
): Promise<Product> {
  return productStep(context, "initramfs", "initramfs", async () => ({
    home: dataPaths(context.options.dataDir).assets,
    fingerprint: await initramfsFingerprint(kernel, agent),
    build: (directory) => buildInitramfs(directory, kernel, agent),
  }));
}

async function baseImageStep(context: StepContext): Promise<Product> {
  const { deps } = context;
  const home = dataPaths(context.options.dataDir).bases;
  await using scratch = await createScratch(home, BASE_NAME);
  // Awaited here: the scratch directory must outlive the step.
  return await productStep(context, "base image", BASE_NAME, async (step) => ({
    home,
    fingerprint: await baseImageFingerprint(),
    async resolveUpstream(signal) {
      step.doing("asking the Debian mirror for its state");
      return resolveBaseArchive(deps.run, scratch.directory, signal);
    },
    build: (directory, _upstream, signal) =>
      buildBaseImage(
        { run: deps.run, now: deps.now, doing: step.doing, onOutput: step.output },
        directory,
        signal,
      ),
  }));
}

async function productStep(
  context: StepContext,
  title: string,
  name: string,
  specify: (step: StepProgress) => Promise<Omit<ProductSpec, "name">>,
): Promise<Product> {
  const { deps, options, progress, signal } = context;
  const made: Product[] = [];
  await progress.step(title, async (step) => {
    try {
      const spec = { name, ...(await specify(step)) };
      const ensureOptions = { refresh: options.refresh, now: deps.now };
      const { product, isNew } = await ensureProduct(spec, ensureOptions, signal);
      await pruneProducts(product);
      made.push(product);
      return `${isNew ? "made" : "up to date"}: ${path.basename(product.directory)}`;
    } catch (error) {
      if (signal.aborted) throw error;
      throw explainFailure(title, error);
    }
  });
  const [product] = made;
  if (product === undefined) throw new ServiceError("INTERNAL", `Step "${title}" made nothing`);
  return product;
}

function explainFailure(title: string, error: unknown): ServiceError {
  const what = `Cannot make the ${title}: ${messageOf(error)}`;
  const details = error instanceof ServiceError ? error.details : {};
  const advice = 'mend that and run "torpor setup" again; the steps before it are kept';
  return new ServiceError("SETUP_FAILED", `${what}; ${advice}`, { cause: error, details });
}

interface Scratch extends AsyncDisposable {
  readonly directory: string;
}

/** Named like a half-made product, so that the next set-up removes what a killed one left. */
async function createScratch(home: string, name: string): Promise<Scratch> {
  await mkdir(home, { recursive: true, mode: 0o755 });
  const directory = await mkdtemp(path.join(home, `${TEMPORARY_PREFIX}${name}-`));
  return {
    directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
