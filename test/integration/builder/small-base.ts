// A base image of a few megabytes for build tests: this machine's own shell and some small programs with their libraries.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import type { BaseImage } from "../../../src/builder/base-image.ts";
import { runCommand } from "../../../src/lib/command.ts";
import { writeOciLayout } from "../../../src/setup/oci-layout.ts";

const PROGRAMS = ["bash", "cat", "head", "id", "ln", "ls", "mkdir", "sleep"];

/** Makes the base in a new directory under `parent`. */
export async function makeSmallBase(parent: string, signal: AbortSignal): Promise<BaseImage> {
  const root = await mkdtemp(path.join(parent, "base-root-"));
  const layout = await mkdtemp(path.join(parent, "base-"));
  // No product of set-up is readable by others on every machine.
  await mkdir(path.join(root, "empty"), { mode: 0o700 });
  await runCommand("sh", ["-euc", COPY, "copy", root, ...PROGRAMS], {}, signal);
  const layer = path.join(layout, "layer.tar");
  await runCommand("tar", ["--create", "--file", layer, "--directory", root, "."], {}, signal);
  await rm(root, { recursive: true });
  const digest = await writeOciLayout(layout, layer, {
    name: "small",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    createdAt: 0,
    config: { Env: ["PATH=/bin", "FROM_BASE=yes"] },
  });
  return { name: "small", names: ["debian:bookworm-slim", "debian:12"], path: layout, digest };
}

const COPY = `
root=$1
shift
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/proc" "$root/sys" "$root/dev"
chmod 0755 "$root"
chmod 1777 "$root/tmp"
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
for program in "$@"; do
  file=$(command -v "$program")
  cp -L "$file" "$root/bin/"
  for library in $(ldd "$file" | grep -o '/[^ ]*'); do
    mkdir -p "$root\${library%/*}"
    cp -L "$library" "$root$library"
  done
done
ln -s bash "$root/bin/sh"
`;
