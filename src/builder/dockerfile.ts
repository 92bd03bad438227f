// Builds a context with its Dockerfile into a container image in container storage.

import { constants } from "node:fs";
import { mkdir, open, chown } from "node:fs/promises";
import path from "node:path";
import { isServiceError, messageOf } from "../errors.ts";
import { buildFailure, saysDiskFull } from "./failure.ts";
import { createLogLines, type LogLines } from "./log-lines.ts";
import { BUILD_UID_BASE, SANDBOX_TOP } from "./sandbox.ts";
import { SIGNATURE_POLICY, type Storage } from "./storage.ts";

export interface DockerfileRequest {
  /** Holds the Dockerfile and everything it may copy; belongs to the builds' user. */
  readonly contextDir: string;
  /** Made, for small files that buildah hands back. */
  readonly resultDir: string;
  /** Offered as build arguments: a RUN sees those that the Dockerfile declares with ARG, and the image keeps none. */
  readonly environmentVariables: Readonly<Record<string, string>>;
  /** Name under `/run/netns` whose egress rules RUN and registry pulls are under; the host's own network unless given. */
  readonly networkNamespace?: string;
  readonly onLog: (line: string) => void;
}

/** Longest build; the service shows builds of 6 minutes, slow package mirrors and emulation need more. */
const BUILD_TIMEOUT_MS = 60 * 60 * 1000;
/** Exit code of BUILD when buildah refused or failed, as opposed to everything around it. */
const BUILDAH_FAILED = 90;
const ARGUMENT_PREFIX = "TORPOR_BUILD_ARG_";
/** These would steer the build itself instead of reaching RUN. */
const RESERVED_ARGUMENT =
  /^(PATH|HOME|TMPDIR|IFS|ENV|LC_ALL|LD_.*|GO.*|XDG_.*|BUILDAH_.*|_?CONTAINERS?_.*|STORAGE_.*|REGISTR.*|DOCKER_.*|TORPOR_.*)$/;

/**
 * Builds and resolves with the image's id. Layers stay cached. Rejects BUILD_FAILED with reason CONTAINER_BUILD_FAILED,
 * DISK_STORAGE_FULL or INTERNAL_PLATFORM_ERROR and the last log lines in `details.logTail`.
 */
export async function buildDockerfile(
  storage: Storage,
  request: DockerfileRequest,
  signal: AbortSignal,
): Promise<string> {
  const { contextDir, resultDir, networkNamespace } = request;
  await mkdir(resultDir, { mode: 0o700 });
  await chown(resultDir, BUILD_UID_BASE, BUILD_UID_BASE);
  const { names, environment } = buildArguments(request);
  const lines = createLogLines(request.onLog);
  const timeout = AbortSignal.timeout(BUILD_TIMEOUT_MS);
  try {
    await storage.run(
      BUILD,
      names,
      {
        binds: { context: contextDir, result: resultDir },
        environment,
        ...(networkNamespace === undefined ? {} : { networkNamespace }),
        onOutput: (chunk) => lines.write(chunk),
      },
      AbortSignal.any([signal, timeout]),
    );
  } catch (error) {
    lines.end();
    if (signal.aborted) throw error;
    throw asBuildFailure(error, lines, timeout.aborted);
  }
  lines.end();
  return readImageId(path.join(resultDir, "image-id"));
}

// The values of build arguments come in the environment under names that mean nothing to the programs on the way, and
// get their own names only here, among processes that could do no harm with them; a command line would show them to every
// user of the host. Both outputs go one way to keep their order. "host" is the network namespace that buildah is in. The
// two dropped capabilities are of no use without being root of the host, but for leaving a chroot.
const BUILD = `exec 2>&1
set -eu
for name in "$@"; do
  eval "export $name=\\"\\$${ARGUMENT_PREFIX}$name\\""
  unset "${ARGUMENT_PREFIX}$name"
done
set -- $(for name in "$@"; do printf ' --build-arg %s' "$name"; done)
buildah build --isolation chroot --network host --format docker --layers --force-rm --pull=false \\
  --cap-drop CAP_MKNOD,CAP_SYS_CHROOT ${SIGNATURE_POLICY} \\
  --iidfile ${SANDBOX_TOP}/result/image-id --file ${SANDBOX_TOP}/context/Dockerfile \\
  "$@" ${SANDBOX_TOP}/context || exit ${BUILDAH_FAILED}
`;

function buildArguments({ environmentVariables, onLog }: DockerfileRequest): {
  names: string[];
  environment: Record<string, string>;
} {
  const isUsable = (name: string) =>
    /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED_ARGUMENT.test(name);
  const all = Object.entries(environmentVariables);
  const usable = all.filter(([name]) => isUsable(name));
  for (const [name] of all.filter(([other]) => !isUsable(other))) {
    onLog(`environment variable ${name} is set when the application runs, not as a build argument`);
  }
  return {
    names: usable.map(([name]) => name),
    environment: Object.fromEntries(
      usable.map(([name, value]) => [`${ARGUMENT_PREFIX}${name}`, value]),
    ),
  };
}

function asBuildFailure(error: unknown, lines: LogLines, isTimeout: boolean): Error {
  const options = { cause: error, logTail: lines.tail() };
  if (isTimeout) {
    const message = `The container image build failed. It took longer than ${BUILD_TIMEOUT_MS / 60_000} minutes`;
    return buildFailure("CONTAINER_BUILD_FAILED", message, options);
  }
  if (saysDiskFull(lines.tail().join("\n"))) {
    return buildFailure(
      "DISK_STORAGE_FULL",
      "The container image build failed. Disk full",
      options,
    );
  }
  if (isServiceError(error) && error.details["exitCode"] === BUILDAH_FAILED) {
    const reason = failedStep(lines.tail());
    const message = ["The container image build failed.", reason].filter(Boolean).join(" ");
    return buildFailure("CONTAINER_BUILD_FAILED", message, options);
  }
  const message = `Cannot run the container image build: ${messageOf(error)}`;
  return buildFailure("INTERNAL_PLATFORM_ERROR", message, options);
}

/** buildah's own last word, for example `building at STEP "RUN false": exit status 1`. */
function failedStep(tail: readonly string[]): string {
  const last = tail.findLast((line) => line.startsWith("Error: "));
  return last?.slice("Error: ".length, 1000) ?? "";
}

/** The directory belongs to the build: what lies there is not followed and not trusted. */
async function readImageId(file: string): Promise<string> {
  await using handle = await open(
    file,
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(100), 0, 100, 0);
  const match = /^(?:sha256:)?([0-9a-f]{64})\s*$/.exec(buffer.toString("latin1", 0, bytesRead));
  if (match?.[1] === undefined) {
    throw buildFailure("INTERNAL_PLATFORM_ERROR", "The build did not say which image it made");
  }
  return match[1];
}
