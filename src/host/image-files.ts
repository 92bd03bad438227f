// The files of a built image version, `images/ACCOUNT/REGION/NAME/VERSION/`: made in a build's working directory, then
// renamed into place as a whole. `manifest.json` says how to restore the rest.

import { mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode, ServiceError } from "../errors.ts";
import { syncDirectory, writeFileDurably } from "../lib/files.ts";
import type { ImageRef } from "./host.ts";

const manifestSchema = z.object({
  formatVersion: z.literal(1),
  imageRef: z.string(),
  hardware: z.object({
    driver: z.string(),
    machine: z.string(),
    accelerator: z.enum(["kvm", "tcg"]),
    cpuModel: z.string(),
    memoryMiB: z.number(),
    vcpus: z.number(),
  }),
  /** What the agent in this image's guests expects of its callers. */
  agentSecret: z.string().min(32),
  kernelRelease: z.string(),
  /** Epoch ms. */
  createdAt: z.number(),
});

export type ImageManifest = Readonly<z.output<typeof manifestSchema>>;

export interface ImageFiles {
  readonly directory: string;
  /** Root file system, read-only, shared by all microVMs. */
  readonly rootfs: string;
  /** The microVM's disk as boot left it; each microVM starts from a copy. */
  readonly disk: string;
  /** Guest RAM at the moment of the snapshot. */
  readonly memory: string;
  readonly devices: string;
  readonly manifest: string;
}

/** Names the files in `directory`. */
export function imageFiles(directory: string): ImageFiles {
  const at = (name: string) => path.join(directory, name);
  return {
    directory,
    rootfs: at("rootfs"),
    disk: at("disk"),
    memory: at("memory"),
    devices: at("devices"),
    manifest: at("manifest.json"),
  };
}

/** The files of a built version. */
export function builtImageFiles(imagesDir: string, imageRef: ImageRef): ImageFiles {
  return imageFiles(path.join(imagesDir, imageRef));
}

/** Writes the manifest, durably; the other files must be complete and synced. */
export async function writeManifest(files: ImageFiles, manifest: ImageManifest): Promise<void> {
  await writeFileDurably(files.manifest, JSON.stringify(manifest, null, 2));
}

/** Rejects NOT_FOUND when the version was never built here, VMM_FAILED when its manifest cannot be used. */
export async function readManifest(files: ImageFiles): Promise<ImageManifest> {
  let text: string;
  try {
    text = await readFile(files.manifest, "utf8");
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
    throw new ServiceError("NOT_FOUND", `Image files are missing: "${files.directory}"`);
  }
  const parsed = manifestSchema.safeParse(JSON.parse(text));
  if (!parsed.success) {
    throw new ServiceError(
      "VMM_FAILED",
      `Cannot use image manifest "${files.manifest}": ${z.prettifyError(parsed.error)}`,
    );
  }
  return parsed.data;
}

/** Moves a finished build's directory to its place. After a crash the version is there as a whole or not at all. */
export async function publishImage(
  built: ImageFiles,
  imagesDir: string,
  imageRef: ImageRef,
): Promise<void> {
  const target = path.join(imagesDir, imageRef);
  await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
  await syncDirectory(built.directory);
  // A directory under this name can only be what an interrupted build of the same version published.
  await rm(target, { recursive: true, force: true });
  await rename(built.directory, target);
  await syncDirectory(path.dirname(target));
}

/** Removes a version's files and the directories above it that became empty. Safe to call twice. */
export async function removeImageFiles(imagesDir: string, imageRef: ImageRef): Promise<void> {
  await rm(path.join(imagesDir, imageRef), { recursive: true, force: true });
}
