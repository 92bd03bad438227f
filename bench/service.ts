// A service for benches: in a data directory of its own, with what `torpor setup` made linked in, and the Flask example
// built as its one image.

import { copyFileSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Clients,
  createClients,
  buildReason,
  createImage,
  uploadArtifact,
  waitForBuild,
  zipDirectory,
} from "../scripts/walkthrough/client.ts";
import { REPOSITORY, startService } from "../scripts/walkthrough/service.ts";
import { builtImageFiles, type ImageFiles } from "../src/host/image-files.ts";
import { dataPaths } from "../src/lib/paths.ts";

export interface BenchService extends AsyncDisposable {
  readonly clients: Clients;
  readonly dataDir: string;
  /** Lines of the service's log. */
  readonly log: readonly string[];
}

const SETUP_DIR = path.join(REPOSITORY, ".torpor");
const FAILURE_LINES = 40;

/** Starts the service. Disposing it stops it and removes its data; microVMs must be gone by then. */
export async function startBenchService(): Promise<BenchService> {
  if (!existsSync(path.join(SETUP_DIR, "assets"))) {
    throw new Error("Nothing is set up: run `bin/torpor setup --data-dir .torpor` first");
  }
  const dataDir = mkdtempSync(path.join(tmpdir(), "torpor-bench-"));
  await using acquired = new AsyncDisposableStack();
  acquired.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  for (const name of ["assets", "bases"]) {
    symlinkSync(path.join(SETUP_DIR, name), path.join(dataDir, name));
  }
  const remembered = path.join(SETUP_DIR, "accelerator.json");
  if (existsSync(remembered)) copyFileSync(remembered, path.join(dataDir, "accelerator.json"));
  const log: string[] = [];
  const service = await startService({ dataDir, onLog: (line) => log.push(line) });
  acquired.defer(() => service.stop());
  const clients = acquired.use(createClients(service));
  const resources = acquired.move();
  return { clients, dataDir, log, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** Builds `examples/flask` in the smallest size class. */
export async function buildFlask(
  { clients, dataDir, log }: BenchService,
  name = "flask",
): Promise<{ imageArn: string; files: ImageFiles }> {
  const zip = await zipDirectory(path.join(REPOSITORY, "examples/flask"));
  const imageArn = await createImage(
    clients,
    name,
    await uploadArtifact(clients, `${name}.zip`, zip),
  );
  const { state } = await waitForBuild(clients, imageArn);
  if (state !== "SUCCESSFUL") {
    const reason = await buildReason(clients, imageArn);
    throw new Error(`The build ended ${state}: ${reason}\n${log.slice(-FAILURE_LINES).join("\n")}`);
  }
  const imageRef = `${clients.account}/${clients.region}/${name}/1.0`;
  return { imageArn, files: builtImageFiles(dataPaths(dataDir).images, imageRef) };
}
