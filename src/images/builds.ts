// Builds and removals of images in the background. The store is the queue: a version that was accepted is PENDING there,
// so a service that ends loses none.
//
// INVARIANTS
// - At most `MAX_CONCURRENT_BUILDS` builds run; the oldest PENDING version is next.
// - A version is IN_PROGRESS only while its build runs here, or after a crash, until `start` puts it back.
// - A version whose builds were interrupted `MAX_BUILD_ATTEMPTS` times is FAILED: it may be what ends the service.

import { ERRORS, isServiceError, messageOf } from "../errors.ts";
import type { BuildRequest, Host } from "../host/host.ts";
import { type Clock, pause } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { egressPolicyOf } from "../microvms/connectors.ts";
import type { BuildOutcome, ImageStore } from "../store/store.ts";
import { imageRefOf } from "./image-ref.ts";
import type { ImageRecord, ImageVersionRecord, SnapshotSizes } from "./records.ts";

export const MAX_CONCURRENT_BUILDS = 2;
export const MAX_BUILD_ATTEMPTS = 3;
const RETRY_DELAY_MS = 5000;

/** The service's own words for a build that failed without a reason fit for its user. */
const UNKNOWN_REASON = "Build workflow was interrupted by an exception";

export interface BuildsDeps {
  readonly images: ImageStore;
  readonly host: Pick<Host, "build" | "removeImage">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Runs builds and removals until disposed. Disposing it interrupts builds, which the next service starts over. */
export class ImageBuilds implements AsyncDisposable {
  readonly #deps: BuildsDeps;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #removals = new Map<string, Promise<void>>();

  constructor(deps: BuildsDeps) {
    this.#deps = deps;
  }

  /** Takes up what an earlier service left: interrupted builds, queued ones, removals. */
  async start(): Promise<void> {
    const { images, clock } = this.#deps;
    for (const version of await images.listUnfinishedBuilds()) {
      if (version.state !== "IN_PROGRESS") continue;
      if (version.buildAttempts < MAX_BUILD_ATTEMPTS)
        await images.requeueBuild(version.buildId, clock.now(), false);
      else
        await images.finishBuild(
          version.buildId,
          { succeeded: false, reason: UNKNOWN_REASON },
          clock.now(),
        );
    }
    for (const image of await images.listDeleting()) this.remove(image);
    for (const version of await images.listDeletingVersions()) this.removeVersion(version);
    this.wake();
  }

  /** Starts builds while there are free places and PENDING versions. */
  wake(): void {
    this.#fill().catch((error: unknown) => {
      this.#deps.log.error("Cannot start builds", { error });
    });
  }

  /** Removes a DELETING image's files, then its records. */
  remove(image: ImageRecord): void {
    this.#startRemoval(image.imageId, () => this.#remove(image));
  }

  /** Removes a DELETING version's files, then its record. */
  removeVersion(version: ImageVersionRecord): void {
    this.#startRemoval(version.buildId, () => this.#removeVersion(version));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new DOMException("The service is stopping", "AbortError"));
    await Promise.all([...this.#running.values(), ...this.#removals.values()]);
  }

  async #fill(): Promise<void> {
    for (const version of await this.#deps.images.listUnfinishedBuilds()) {
      const { buildId, state } = version;
      if (this.#stopping.signal.aborted || this.#running.size >= MAX_CONCURRENT_BUILDS) return;
      if (state !== "PENDING" || this.#running.has(buildId)) continue;
      const build = this.#build(buildId).finally(() => {
        this.#running.delete(buildId);
        this.wake();
      });
      this.#running.set(buildId, build);
    }
  }

  async #build(buildId: string): Promise<void> {
    const { images, clock, log } = this.#deps;
    try {
      const version = await this.#record(() => images.startBuild(buildId, clock.now()));
      const outcome = await this.#attempt(version);
      if (outcome === undefined) await images.requeueBuild(buildId, clock.now(), true);
      else await this.#record(() => images.finishBuild(buildId, outcome, clock.now()));
    } catch (error) {
      // The version stays as the store has it; the next start takes it up.
      log.error("Cannot record a build", { buildId, error });
    }
  }

  /** Writes, again and again while the store cannot take it: a build's outcome must not be lost to a full disk. */
  async #record<T>(write: () => Promise<T>): Promise<T> {
    const { clock, log } = this.#deps;
    for (;;) {
      try {
        return await write();
      } catch (error) {
        const mayRecover = isServiceError(error) && ERRORS[error.code].retryable;
        if (!mayRecover || this.#stopping.signal.aborted) throw error;
        log.error("Cannot record a build, trying again", { error });
        await pause(clock, RETRY_DELAY_MS, this.#stopping.signal);
      }
    }
  }

  /** One build; undefined when this service ends during it. */
  async #attempt(version: ImageVersionRecord): Promise<BuildOutcome | undefined> {
    const { signal } = this.#stopping;
    const { buildId, imageArn, imageVersion } = version;
    const log = this.#deps.log.with({ buildId, imageArn, imageVersion });
    try {
      log.info("Build started");
      const { sizes } = await this.#deps.host.build(buildRequestOf(version), signal);
      log.info("Build succeeded");
      return { succeeded: true, sizes };
    } catch (error) {
      if (signal.aborted) return undefined;
      log.warn("Build failed", { error });
      const reason = isServiceError(error) ? messageOf(error) : UNKNOWN_REASON;
      return { succeeded: false, reason, ...sizesOfFailure(error) };
    }
  }

  #startRemoval(key: string, removal: () => Promise<void>): void {
    if (this.#removals.has(key) || this.#stopping.signal.aborted) return;
    this.#removals.set(
      key,
      removal().finally(() => this.#removals.delete(key)),
    );
  }

  async #remove(image: ImageRecord): Promise<void> {
    const { images, host, clock, log } = this.#deps;
    const { imageArn } = image;
    try {
      for (const { imageVersion } of await images.listVersions(image, image.name))
        await host.removeImage(imageRefOf(image, image.name, imageVersion));
      await images.remove(image, image.name);
    } catch (error) {
      log.error("Cannot remove image", { imageArn, error });
      await images.failDelete(image, image.name, clock.now()).catch((cause: unknown) => {
        log.error("Cannot record a failed removal", { imageArn, error: cause });
      });
    }
  }

  async #removeVersion(version: ImageVersionRecord): Promise<void> {
    const { images, host, clock, log } = this.#deps;
    const { buildId, imageArn, imageName, imageVersion } = version;
    try {
      await host.removeImage(imageRefOf(version, imageName, imageVersion));
      await images.removeVersion(buildId, clock.now());
    } catch (error) {
      log.error("Cannot remove image version", { imageArn, imageVersion, error });
      await images.failDeleteVersion(buildId, clock.now()).catch((cause: unknown) => {
        log.error("Cannot record a failed removal", { imageArn, imageVersion, error: cause });
      });
    }
  }
}

/** What a build that failed had come to: its container, or nothing. */
function sizesOfFailure(error: unknown): { sizes?: SnapshotSizes } {
  const size = isServiceError(error) ? error.details["codeInstallSizeInBytes"] : undefined;
  if (typeof size !== "number") return {};
  const others = { memorySnapshotSizeInBytes: null, diskSnapshotSizeInBytes: null };
  return { sizes: { codeInstallSizeInBytes: size, ...others } };
}

function buildRequestOf(version: ImageVersionRecord): BuildRequest {
  const { buildId, account, region, imageArn, imageName, imageVersion, configuration } = version;
  return {
    buildId,
    account,
    imageRef: imageRefOf(version, imageName, imageVersion),
    imageArn,
    imageName,
    imageVersion,
    region,
    configuration,
    egress: egressPolicyOf(region, configuration.egressNetworkConnectors),
  };
}
