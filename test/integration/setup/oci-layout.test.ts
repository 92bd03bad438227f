import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { z } from "zod";
import { writeOciLayout } from "../../../src/setup/oci-layout.ts";
import { temporaryDirectory } from "./temporary.ts";

const descriptor = z.object({ digest: z.string(), size: z.number(), mediaType: z.string() });
const indexSchema = z.object({
  manifests: z.array(descriptor.extend({ annotations: z.record(z.string(), z.string()) })),
});
const manifestSchema = z.object({ config: descriptor, layers: z.array(descriptor) });
const configSchema = z.object({
  architecture: z.string(),
  config: z.object({ Cmd: z.array(z.string()) }),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
});

describe("writeOciLayout", () => {
  it("links index, manifest, config and layer by their digests", async () => {
    await using directory = await temporaryDirectory();
    const layer = path.join(directory.path, "layer.tar");
    await writeFile(layer, "a root file system");
    const digest = await writeOciLayout(directory.path, layer, {
      name: "debian-12",
      architecture: "amd64",
      createdAt: 0,
      config: { Cmd: ["bash"] },
    });
    const readBlob = async ({ digest: wanted, size }: { digest: string; size: number }) => {
      const file = path.join(directory.path, "blobs", wanted.replace(":", "/"));
      const content = await readFile(file);
      assert.equal(`sha256:${createHash("sha256").update(content).digest("hex")}`, wanted);
      assert.equal(content.length, size);
      return content.toString();
    };
    const indexText = await readFile(path.join(directory.path, "index.json"), "utf8");
    const [entry] = indexSchema.parse(JSON.parse(indexText)).manifests;
    assert.equal(entry?.digest, digest);
    assert.deepEqual(entry.annotations, { "org.opencontainers.image.ref.name": "debian-12" });
    const manifest = manifestSchema.parse(JSON.parse(await readBlob(entry)));
    const [onlyLayer] = manifest.layers;
    assert.ok(onlyLayer !== undefined && manifest.layers.length === 1);
    assert.equal(await readBlob(onlyLayer), "a root file system");
    const config = configSchema.parse(JSON.parse(await readBlob(manifest.config)));
    assert.deepEqual(config.rootfs.diff_ids, [onlyLayer.digest]);
    assert.deepEqual(config.config.Cmd, ["bash"]);
    const top = (await readdir(directory.path)).sort();
    assert.deepEqual(top, ["blobs", "index.json", "oci-layout"]);
  });
});
