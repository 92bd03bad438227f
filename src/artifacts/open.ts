// The artifact store as the configuration asks for it: always this machine's own, and the reader of code artifacts
// either over it or over a real S3 endpoint.

import type { Config } from "../config.ts";
import { systemClock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { ArtifactReader } from "./artifacts.ts";
import { createLocalReader } from "./local-reader.ts";
import { openLocalStore, type ArtifactStore } from "./local.ts";
import { createRemoteReader } from "./remote.ts";

export interface Artifacts extends AsyncDisposable {
  readonly store: ArtifactStore;
  readonly reader: ArtifactReader;
}

export interface ArtifactsDeps {
  readonly log: Log;
  /** Epoch milliseconds; the machine's clock when left out. */
  readonly now?: () => number;
}

/** Opens the store under `directory` and the reader. Rejects SETUP_FAILED when the directory is in use. */
export async function openArtifacts(
  { log, now = systemClock().now }: ArtifactsDeps,
  config: Pick<Config, "s3">,
  directory: string,
): Promise<Artifacts> {
  await using acquired = new AsyncDisposableStack();
  const store = acquired.use(await openLocalStore({ log, now }, directory));
  const reader =
    config.s3 === undefined
      ? createLocalReader({ store })
      : acquired.use(createRemoteReader(config.s3));
  const resources = acquired.move();
  return { store, reader, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
