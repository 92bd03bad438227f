// Makes an OCI image layout of one uncompressed layer, which buildah imports without unpacking anything twice.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";

export interface OciImageSpec {
  /** Under this name the layout offers its image: `oci:DIRECTORY:NAME`. */
  readonly name: string;
  readonly architecture: "amd64" | "arm64";
  readonly createdAt: number;
  readonly config: Readonly<Record<string, unknown>>;
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

const MEDIA_TYPE = "application/vnd.oci.image";

/** Moves the tar `layer` into a layout in `directory` and resolves with the digest of the image's manifest. */
export async function writeOciLayout(
  directory: string,
  layer: string,
  spec: OciImageSpec,
): Promise<string> {
  const blobs = path.join(directory, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const layerDescriptor = { digest: await digestFile(layer), size: (await stat(layer)).size };
  await rename(layer, path.join(blobs, hexOf(layerDescriptor)));
  const created = new Date(spec.createdAt).toISOString();
  const config = await writeBlob(blobs, {
    created,
    architecture: spec.architecture,
    os: "linux",
    config: spec.config,
    rootfs: { type: "layers", diff_ids: [layerDescriptor.digest] },
    history: [{ created, created_by: "torpor setup" }],
  });
  const manifest = await writeBlob(blobs, {
    schemaVersion: 2,
    mediaType: `${MEDIA_TYPE}.manifest.v1+json`,
    config: { mediaType: `${MEDIA_TYPE}.config.v1+json`, ...config },
    layers: [{ mediaType: `${MEDIA_TYPE}.layer.v1.tar`, ...layerDescriptor }],
  });
  const annotations = { "org.opencontainers.image.ref.name": spec.name };
  const manifests = [{ mediaType: `${MEDIA_TYPE}.manifest.v1+json`, ...manifest, annotations }];
  await writeJson(path.join(directory, "index.json"), { schemaVersion: 2, manifests });
  await writeJson(path.join(directory, "oci-layout"), { imageLayoutVersion: "1.0.0" });
  return manifest.digest;
}

async function digestFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest("hex")}`;
}

function hexOf({ digest }: Descriptor): string {
  return digest.slice("sha256:".length);
}

async function writeBlob(blobs: string, value: unknown): Promise<Descriptor> {
  const content = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
  const descriptor = { digest, size: content.length };
  await writeFile(path.join(blobs, hexOf(descriptor)), content);
  return descriptor;
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, JSON.stringify(value));
}
