// Real builds with buildah, in storage of their own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { BaseImage } from "../../../src/builder/base-image.ts";
import { buildRootfs } from "../../../src/builder/build-container.ts";
import { BUILD_UID_BASE } from "../../../src/builder/sandbox.ts";
import { hasErrorCode, isServiceError, ServiceError } from "../../../src/errors.ts";
import { runCommand } from "../../../src/lib/command.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { zipOf, type ZipEntry } from "../../fixtures/zip-writer.ts";
import { makeSmallBase } from "./small-base.ts";

/** Far more than any of these builds takes. */
const limit = () => AbortSignal.timeout(60_000);

let directory = "";
let storageDir = "";
let base: BaseImage;
let count = 0;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "torpor-build-"));
  storageDir = path.join(directory, "containers");
  base = await makeSmallBase(directory, limit());
});
after(() => rm(directory, { recursive: true, force: true }));

interface BuildOptions {
  readonly files?: readonly ZipEntry[];
  readonly environmentVariables?: Readonly<Record<string, string>>;
  readonly networkNamespace?: string;
  readonly storageDir?: string;
  readonly cacheLimitBytes?: number;
  readonly onLog?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Prepares a build of `dockerfile`; `run` does it. */
async function prepare(dockerfile: string, options: BuildOptions = {}) {
  count += 1;
  const workDir = path.join(directory, `work-${count}`);
  await mkdir(workDir, { mode: 0o700 });
  const archivePath = path.join(workDir, "artifact.zip");
  const rootfsPath = path.join(workDir, "rootfs");
  await writeFile(
    archivePath,
    zipOf([{ name: "Dockerfile", content: dockerfile }, ...(options.files ?? [])]),
  );
  const lines: string[] = [];
  const { networkNamespace } = options;
  const request = {
    ...{ buildId: `build-${count}`, archivePath, workDir, rootfsPath, bases: [base] },
    environmentVariables: options.environmentVariables ?? {},
    ...(networkNamespace === undefined ? {} : { networkNamespace }),
    onLog: (line: string) => {
      lines.push(line);
      options.onLog?.(line);
    },
  };
  const { cacheLimitBytes } = options;
  const deps = {
    ...{ storageDir: options.storageDir ?? storageDir, log: silentLog() },
    ...(cacheLimitBytes === undefined ? {} : { cacheLimitBytes }),
  };
  const run = () => buildRootfs(deps, request, options.signal ?? limit());
  return { run, lines, workDir, rootfsPath };
}

async function build(dockerfile: string, options: BuildOptions = {}) {
  const { run, ...rest } = await prepare(dockerfile, options);
  return { ...(await run()), ...rest };
}

/** Runs a build that must fail and returns how. */
async function fail(dockerfile: string, options: BuildOptions = {}) {
  const { run, lines, workDir } = await prepare(dockerfile, options);
  const error = await run().then(
    () => assert.fail("the build did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(isServiceError(error, "BUILD_FAILED"), String(error));
  assert.deepEqual(await readdir(workDir), ["artifact.zip"]);
  return { error, lines };
}

/** Unpacks a root file system to look into it. */
async function unpack(rootfsPath: string): Promise<string> {
  const target = `${rootfsPath}.unpacked`;
  await runCommand("fsck.erofs", [`--extract=${target}`, rootfsPath], {}, limit());
  return target;
}

/** What a build may not leave: containers, mounts and processes. */
async function assertNothingLeft(marker = "torpor-build-"): Promise<void> {
  for (const driver of ["overlay", "vfs"]) {
    const list = path.join(storageDir, "storage", `${driver}-containers/containers.json`);
    assert.match((await readFileIfExists(list)) ?? "[]", /^\s*\[\s*\]\s*$/);
  }
  assert.ok(!(await readFile("/proc/self/mountinfo", "utf8")).includes(directory));
  assert.deepEqual(await processesWith(marker), []);
  assert.deepEqual(await cgroupsLeft(), []);
  assert.deepEqual(await readdir(path.join(storageDir, "tmp")).catch(() => []), []);
}

/** Control groups of builds in this storage. */
async function cgroupsLeft(): Promise<string[]> {
  const hash = createHash("sha256").update(storageDir).digest("hex").slice(0, 16);
  const options = ["/sys/fs/cgroup", "-type", "d", "-name", `torpor-build-${hash}-*`];
  return (await runCommand("find", options, {}, limit())).split("\n").filter(Boolean);
}

async function readFileIfExists(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH", "ENOTDIR")) return undefined;
    throw error;
  }
}

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}

/** The kernel starts and ends processes when it sees fit. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = limit();
  while (!(await condition())) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function processesWith(marker: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const pid of pids) {
    const uid = /^Uid:\s+(\d+)/m.exec((await readFileIfExists(`/proc/${pid}/status`)) ?? "")?.[1];
    const commandLine = (await readFileIfExists(`/proc/${pid}/cmdline`)) ?? "";
    if (Number(uid) >= BUILD_UID_BASE && commandLine.includes(marker)) found.push(commandLine);
  }
  return found;
}

describe("buildRootfs", () => {
  it("builds a Dockerfile on a managed base and packs what it made", async () => {
    const { oci, rootfsPath, rootfsBytes, lines } = await build(
      `FROM debian:bookworm-slim AS first
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN [[ -n $BASH_VERSION ]] && mkdir /made && echo made > /made/file
FROM small
COPY --from=first /made /made
COPY run.sh data /app/
RUN id -u > /made/uid && ln /made/file /made/same && cat < /proc/self/uid_map
ENV COLOR=blue
EXPOSE 8080 53/udp
WORKDIR /nowhere/yet
USER 1000:1000
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
ENTRYPOINT ["/app/run.sh"]
CMD ["--fast"]
`,
      {
        files: [
          { name: "run.sh", content: "#!/bin/sh\n", mode: 0o100755 },
          { name: "data", content: "data\n", mode: 0o100640 },
        ],
      },
    );
    assert.deepEqual(oci, {
      args: ["/app/run.sh", "--fast"],
      env: ["PATH=/bin", "FROM_BASE=yes", "COLOR=blue"],
      workingDir: "/nowhere/yet",
      user: "1000:1000",
      exposedPorts: [8080],
      stopSignal: "SIGINT",
    });
    // Root of the build is an ordinary user outside.
    assert.ok(lines.some((line) => line.split(/\s+/).includes(String(BUILD_UID_BASE))));
    assert.equal((await stat(rootfsPath)).size, rootfsBytes);
    assert.equal((await stat(rootfsPath)).mode & 0o777, 0o644);
    const root = await unpack(rootfsPath);
    const statOf = (name: string) => stat(path.join(root, name));
    const contents = ["made/file", "made/uid", "app/data"].map((name) =>
      readFile(path.join(root, name), "utf8"),
    );
    assert.deepEqual(await Promise.all(contents), ["made\n", "0\n", "data\n"]);
    const { mode, uid, gid, mtime } = await statOf("app/run.sh");
    assert.deepEqual([mode & 0o7777, uid, gid], [0o755, 0, 0]);
    assert.equal(mtime.toISOString(), "2024-05-06T07:08:10.000Z");
    assert.equal((await statOf("app/data")).mode & 0o7777, 0o640);
    // fsck.erofs unpacks hard links as copies.
    const link = await runCommand("dump.erofs", ["--path=/made/same", rootfsPath], {}, limit());
    assert.match(link, /Links: 2/);
    assert.equal((await statOf("tmp")).mode & 0o7777, 0o1777);
    assert.equal((await statOf(".")).mode & 0o7777, 0o755);
    assert.ok((await statOf("nowhere/yet")).isDirectory());
    await assertNothingLeft();
  });

  it("uses cached layers and makes equal files of equal images", async () => {
    const dockerfile = "FROM debian:12\nRUN echo once > /once\nCMD once\n";
    const first = await build(dockerfile);
    const second = await build(dockerfile);
    assert.ok(!first.lines.some((line) => line.includes("Using cache")));
    assert.ok(second.lines.some((line) => line.includes("Using cache")));
    assert.ok((await readFile(first.rootfsPath)).equals(await readFile(second.rootfsPath)));
  });

  it("drops cached layers when there are too many or the host has booted since", async () => {
    const dockerfile = "FROM debian:12\nRUN echo kept > /kept\nCMD kept\n";
    const usesCache = async (options: BuildOptions = {}) => {
      const { lines } = await build(dockerfile, options);
      return lines.some((line) => line.includes("Using cache"));
    };
    const facts = path.join(storageDir, "host.json");
    assert.equal(await usesCache(), false);
    assert.equal(await usesCache(), true);
    assert.equal(await usesCache({ cacheLimitBytes: 1 }), false);
    assert.equal(await usesCache(), false);
    assert.equal(await usesCache(), true);
    await writeFile(facts, (await readFile(facts, "utf8")).replace(/"bootId":"./, '"bootId":"x'));
    assert.equal(await usesCache(), false);
  });

  it("offers environment variables as build arguments without showing or keeping them", async () => {
    const secret = "p'a\"ss $(id)\n`w` \\";
    const { oci, rootfsPath, lines } = await build(
      'FROM small\nARG TOKEN\nRUN echo -n "$TOKEN" > /token && echo -n "$LD_PRELOAD" > /preload\nCMD x\n',
      { environmentVariables: { TOKEN: secret, LD_PRELOAD: "/nowhere.so", "odd.name": "x" } },
    );
    const root = await unpack(rootfsPath);
    assert.equal(await readFile(path.join(root, "token"), "utf8"), secret);
    assert.equal(await readFile(path.join(root, "preload"), "utf8"), "");
    assert.deepEqual(oci.env, ["PATH=/bin", "FROM_BASE=yes"]);
    assert.ok(!lines.join("\n").includes("ss $(id)"));
  });

  it("reports a failing RUN with its last lines", async () => {
    const { error, lines } = await fail(
      "FROM small\nRUN echo nearly; echo oh >&2; exit 3\nCMD x\n",
    );
    assert.equal(error.details["reasonCode"], "CONTAINER_BUILD_FAILED");
    assert.match(
      error.message,
      /^The container image build failed\. building at STEP "RUN .*": exit status 3$/,
    );
    assert.ok(Array.isArray(error.details["logTail"]));
    assert.ok(error.details["logTail"].includes("nearly") && lines.includes("oh"));
    await assertNothingLeft();
  });

  it("reports what else is wrong with a Dockerfile", async () => {
    const cases: [string, RegExp][] = [
      ["FROM small\nCOPY absent /\n", /absent/],
      ["FROM small\nNONSENSE\n", /NONSENSE/i],
      ["# nothing\n", /no stages/],
      ["FROM small\n", /has no command to run/],
    ];
    for (const [dockerfile, message] of cases) {
      const { error } = await fail(dockerfile);
      assert.equal(error.details["reasonCode"], "CONTAINER_BUILD_FAILED", error.message);
      assert.match(error.message, message);
    }
    await assertNothingLeft();
  });

  it("reports an image that cannot be pulled", async () => {
    // No registry: it does not speak TLS.
    const server = createServer((socket) => socket.end("HTTP/1.1 404 Not Found\r\n\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const name = `127.0.0.1:${portOf(server)}/absent:1`;
    const { error } = await fail(`FROM ${name}\n`);
    server.close();
    assert.equal(error.details["reasonCode"], "CONTAINER_BUILD_FAILED");
    assert.ok(error.message.includes(name), error.message);
  });

  it("reports a bad archive before anything is built", async () => {
    const { error, lines } = await fail("FROM small\n", { files: [{ name: "../x" }] });
    assert.equal(error.details["reasonCode"], "ARCHIVE_INVALID");
    assert.deepEqual(lines, []);
  });

  it("leaves daemons of one RUN behind without being held up by them", async () => {
    await build("FROM small\nRUN sleep 7777.1 & echo started\nRUN echo next\nCMD x\n");
    await assertNothingLeft("7777.1");
  });

  it("ends every process when aborted and rejects with the reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const { run, workDir } = await prepare("FROM small\nRUN echo asleep; sleep 7777.2\nCMD x\n", {
      onLog: (line) => line === "asleep" && controller.abort(reason),
      signal: controller.signal,
    });
    await assert.rejects(run(), reason);
    assert.deepEqual(await readdir(workDir), ["artifact.zip"]);
    await assertNothingLeft("7777.2");
  });

  it("dies with the service; the next build sweeps up", async () => {
    const { workDir, rootfsPath } = await prepare("FROM small\nRUN echo asleep; sleep 7777.3\n");
    const request = {
      ...{
        buildId: "killed",
        archivePath: path.join(workDir, "artifact.zip"),
        workDir,
        rootfsPath,
      },
      ...{ bases: [base], environmentVariables: {} },
    };
    const child = spawn(
      process.execPath,
      [path.join(import.meta.dirname, "build-program.ts"), storageDir, JSON.stringify(request)],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const exited = once(child, "exit");
    try {
      await until(async () => (await processesWith("7777.3")).length > 0);
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
    await until(async () => (await processesWith("7777.3")).length === 0);
    assert.match(
      (await readFileIfExists(
        path.join(storageDir, "storage/overlay-containers/containers.json"),
      )) ?? "vfs",
      /"id"|vfs/,
    );
    await build("FROM small\nCMD x\n");
    await assertNothingLeft("7777.3");
  });

  it("builds several images at once in one storage", async () => {
    const results = await Promise.all(
      [1, 2, 3].map((number) => build(`FROM small\nRUN echo ${number} > /number\nCMD x\n`)),
    );
    for (const [index, { rootfsPath }] of results.entries()) {
      const root = await unpack(rootfsPath);
      assert.equal(await readFile(path.join(root, "number"), "utf8"), `${index + 1}\n`);
    }
    await assertNothingLeft();
  });

  it("builds several images at once in a storage that has no base yet", async () => {
    const fresh = path.join(directory, "fresh");
    await Promise.all([1, 2].map(() => build("FROM small\nCMD x\n", { storageDir: fresh })));
  });

  it("takes a base's new content under its old names", async () => {
    const dockerfile = "FROM debian:12\nCMD x\n";
    const old = await build(dockerfile);
    const other = await makeSmallBase(directory, limit());
    const digestOf = (image: { rootfsPath: string }) => readFile(image.rootfsPath);
    base = { ...other, digest: `${other.digest}0` };
    const { lines } = await build(dockerfile);
    assert.ok(lines.some((line) => line.includes('importing base image "small"')));
    assert.ok((await digestOf(old)).length > 0);
  });
});

describe("buildRootfs under pressure", () => {
  it("reports a full disk as such", async () => {
    const small = path.join(directory, "small-disk");
    await mkdir(small);
    await runCommand("mount", ["-t", "tmpfs", "-o", "size=40m", "none", small], {}, limit());
    try {
      const { error } = await fail("FROM small\nRUN head -c 60000000 /dev/zero > /big\nCMD x\n", {
        storageDir: path.join(small, "containers"),
      });
      assert.equal(error.details["reasonCode"], "DISK_STORAGE_FULL", error.message);
    } finally {
      await runCommand("umount", [small], {}, limit());
    }
  });

  it("bounds the processes and the memory of a build", async () => {
    const { lines } = await build(
      "FROM small\nRUN cat /proc/self/cgroup; cat /proc/self/status\nCMD x\n",
    );
    const groups = lines.filter((line) => line.includes("/torpor-build-"));
    // One group in version 2; one for processes and one for memory in version 1.
    assert.equal(
      groups.length,
      lines.some((line) => line.startsWith("0::/") && groups.includes(line)) ? 1 : 2,
    );
    assert.ok(
      groups.every((line) => /^\d+:(pids|memory|):/.test(line)),
      groups.join("\n"),
    );
    await assertNothingLeft();
  });

  it("keeps a build in the network namespace it is given", async () => {
    const name = `torpor-test-${process.pid}`;
    const server = createServer((socket) => socket.end("reached\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const dockerfile = `FROM small
RUN (exec 3<>/dev/tcp/127.0.0.1/${portOf(server)} && cat <&3) || echo isolated
CMD x
`;
    await runCommand("ip", ["netns", "add", name], {}, limit());
    try {
      const { lines } = await build(dockerfile, { networkNamespace: name });
      assert.ok(lines.includes("isolated"), lines.join("\n"));
    } finally {
      await runCommand("ip", ["netns", "del", name], {}, limit());
      server.close();
    }
  });

  it("names what is wrong with the host", async () => {
    const { error } = await fail("FROM small\nCMD x\n", { networkNamespace: "torpor-test-absent" });
    assert.ok(error instanceof ServiceError);
    assert.equal(error.details["reasonCode"], "INTERNAL_PLATFORM_ERROR");
    assert.match(error.message, /torpor-test-absent/);
  });
});
