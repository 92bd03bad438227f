// The managed base image `debian-12`: a small Debian made from the machine's own mirror, so that Dockerfiles that start
// from it need no registry. Comparable to the registry's `debian:bookworm-slim`, with CA certificates added.

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { hasErrorCode } from "../errors.ts";
import {
  type AptSource,
  type DebianArchive,
  findDebianArchive,
  formatRelease,
  readAptSources,
} from "./apt-sources.ts";
import type { RunCommand } from "./command.ts";
import { fingerprintOf, readInputs } from "./fingerprint.ts";
import { writeOciLayout } from "./oci-layout.ts";
import { openPrivateApt } from "./private-apt.ts";
import { readRelease } from "./release.ts";

export const BASE_NAME = "debian-12";
/** What builds may call the base, as buildah stores names. */
export const BASE_ALIASES: readonly string[] = [
  "docker.io/library/debian:bookworm-slim",
  "docker.io/library/debian:bookworm",
  "docker.io/library/debian:12-slim",
  "docker.io/library/debian:12",
  `localhost/${BASE_NAME}:latest`,
];

const RECIPE = ["base-image.ts", "oci-layout.ts"];
const CODENAME = "bookworm";
const SUITES = {
  main: [CODENAME, `${CODENAME}-updates`],
  security: [`${CODENAME}-security`],
};
/** Inside the base, from its package debian-archive-keyring. */
const GUEST_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HOST_CERTIFICATES = "/usr/local/share/ca-certificates";
const EXCLUDED_PATHS = ["doc", "info", "locale", "man"];

const FILES: Readonly<Record<string, { readonly content: string; readonly mode: number }>> = {
  "etc/apt/apt.conf.d/90torpor": {
    // Image layers should hold what a package installs, not what apt keeps for the next time.
    content: [
      'APT::Keep-Downloaded-Packages "false";',
      'Binary::apt-get::APT::Keep-Downloaded-Packages "false";',
      'Dir::Cache::pkgcache "";',
      'Dir::Cache::srcpkgcache "";',
      'Acquire::Languages "none";',
      'Apt::AutoRemove::SuggestsImportant "false";',
      "",
    ].join("\n"),
    mode: 0o644,
  },
  // A build that is cut short is thrown away whole, so dpkg need not sync every file.
  "etc/dpkg/dpkg.cfg.d/90torpor": { content: "force-unsafe-io\n", mode: 0o644 },
  // No service may start while an image is built.
  "usr/sbin/policy-rc.d": { content: "#!/bin/sh\nexit 101\n", mode: 0o755 },
};

/** Runs in the finished root: trusts the certificates, leaves nothing of this machine and this moment behind. */
const CUSTOMIZE = [
  'chroot "$1" update-ca-certificates',
  'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/apt/sources.list"',
  'rm -f "$1"/var/lib/dpkg/*-old "$1"/var/cache/debconf/*-old "$1/var/cache/ldconfig/aux-cache"',
  'rm -f "$1"/var/cache/apt/*.bin',
  'find "$1/var/log" -type f -delete',
];

export interface BaseImageDeps {
  readonly run: RunCommand;
  readonly now: () => number;
  readonly doing: (what: string) => void;
  readonly onOutput: (chunk: string) => void;
}

/** Hash of the inputs found on this machine: recipe, mirror, additional CA certificates. */
export async function baseImageFingerprint(): Promise<string> {
  const certificates = await readHostCertificates();
  return fingerprintOf([
    ...(await readInputs(import.meta.dirname, RECIPE)),
    formatRelease(await readArchive(), SUITES),
    ...certificates.flatMap(({ name, content }) => [name, content]),
  ]);
}

/** Says from which state of the archive the base would be made. `directory` is empty; caller removes it. */
export async function resolveBaseArchive(
  run: RunCommand,
  directory: string,
  signal: AbortSignal,
): Promise<string> {
  const sources = formatRelease(await readArchive(), SUITES);
  return (await openPrivateApt(run, directory, sources, signal)).archiveState;
}

/** The archive of the base's release, on the mirror this machine uses for its own. */
async function readArchive(): Promise<DebianArchive> {
  const { codename } = await readRelease();
  const archive = findDebianArchive(await readAptSources(), codename);
  return { main: archive.main, security: archive.security };
}

interface Certificate {
  readonly name: string;
  readonly content: Buffer;
}

/** CA certificates that this machine's owner added, for example of a proxy that inspects TLS. */
async function readHostCertificates(): Promise<Certificate[]> {
  try {
    const files = await readdir(HOST_CERTIFICATES, { recursive: true });
    const names = files.filter((file) => file.endsWith(".crt")).sort();
    return await Promise.all(
      names.map(async (file) => ({
        name: file.replaceAll("/", "-"),
        content: await readFile(path.join(HOST_CERTIFICATES, file)),
      })),
    );
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

/** Fills `directory` with an OCI layout of the base. Rejects SETUP_FAILED with mmdebstrap's last lines. */
export async function buildBaseImage(
  deps: BaseImageDeps,
  directory: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const archive = await readArchive();
  const staged = path.join(directory, "staged");
  const tarball = path.join(directory, "layer.tar");
  const sources = path.join(directory, "bootstrap.sources");
  const scratch = path.join(directory, "scratch");
  await stageFiles(staged, guestSources(archive));
  await writeFile(sources, formatRelease(archive, SUITES));
  await mkdir(scratch);
  deps.doing(`installing Debian ${CODENAME} into a new root`);
  await deps.run(
    // Its mounts and its files go with us when it is cut short: a namespace of its own, a directory of ours.
    "unshare",
    [
      ...["--mount", "--", "env", `TMPDIR=${scratch}`, "mmdebstrap"],
      ...bootstrapArguments({ staged, tarball, sources }),
    ],
    { onOutput: deps.onOutput, errorCode: "SETUP_FAILED" },
    signal,
  );
  await rm(staged, { recursive: true });
  await rm(sources);
  await rm(scratch, { recursive: true });
  await addDeviceDirectory(deps.run, { directory, tarball }, signal);
  deps.doing("making an OCI image of it");
  const digest = await writeOciLayout(directory, tarball, {
    name: BASE_NAME,
    architecture: "amd64",
    createdAt: deps.now(),
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: ["bash"],
    },
  });
  return { digest };
}

/** mmdebstrap writes device nodes or no /dev at all; an image needs the empty directory to mount on. */
async function addDeviceDirectory(
  run: RunCommand,
  { directory, tarball }: { readonly directory: string; readonly tarball: string },
  signal: AbortSignal,
): Promise<void> {
  const parent = path.join(directory, "appended");
  await mkdir(path.join(parent, "dev"), { recursive: true, mode: 0o755 });
  const args = ["--append", "--owner=0", "--group=0", `--directory=${parent}`];
  await run("tar", [...args, `--file=${tarball}`, "./dev"], { errorCode: "SETUP_FAILED" }, signal);
  await rm(parent, { recursive: true });
}

function guestSources(archive: DebianArchive): string {
  const withoutHostKeys = (source: AptSource): AptSource => ({ ...source, signedBy: "" });
  const { main, security } = archive;
  return formatRelease(
    {
      main: withoutHostKeys(main),
      security: security === undefined ? undefined : withoutHostKeys(security),
    },
    SUITES,
    GUEST_KEYRING,
  );
}

async function stageFiles(staged: string, aptSources: string): Promise<void> {
  const write = async (file: string, content: string | Buffer, mode: number) => {
    const target = path.join(staged, file);
    await mkdir(path.dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, content, { mode });
  };
  await write("etc/apt/sources.list.d/debian.sources", aptSources, 0o644);
  for (const [file, { content, mode }] of Object.entries(FILES)) await write(file, content, mode);
  for (const { name, content } of await readHostCertificates()) {
    await write(path.join(HOST_CERTIFICATES, name), content, 0o644);
  }
}

function bootstrapArguments(files: {
  readonly staged: string;
  readonly tarball: string;
  readonly sources: string;
}): string[] {
  const exclusions = EXCLUDED_PATHS.map((name) => `path-exclude=/usr/share/${name}/*`);
  return [
    "--mode=root",
    "--variant=minbase",
    "--format=tar",
    "--include=ca-certificates",
    // Otherwise the conversion to a merged /usr brings all of Perl.
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--skip=output/dev",
    ...[...exclusions, "path-include=/usr/share/doc/*/copyright"].map(
      (line) => `--dpkgopt=${line}`,
    ),
    '--customize-hook=rm -f "$1"/etc/apt/sources.list.d/*',
    `--customize-hook=sync-in ${shellQuote(files.staged)} /`,
    ...CUSTOMIZE.map((line) => `--customize-hook=${line}`),
    CODENAME,
    files.tarball,
    files.sources,
  ];
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
