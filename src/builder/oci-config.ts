// What a built container image says about how it is run, read from `buildah inspect --type image`.

import path from "node:path";
import { z } from "zod";
import { messageOf } from "../errors.ts";
import { buildFailure } from "./failure.ts";

/** How the container of an image is started. */
export interface OciConfig {
  /** ENTRYPOINT followed by CMD; never empty. */
  readonly args: readonly string[];
  /** `NAME=value`, in order; later ones win. */
  readonly env: readonly string[];
  /** Absolute. */
  readonly workingDir: string;
  /** As the image says it: "", "name", "uid", "name:group", "uid:gid". */
  readonly user: string;
  /** TCP ports of EXPOSE, ascending; the lowest PORT_LIMIT of them. */
  readonly exposedPorts: readonly number[];
  /** STOPSIGNAL as the image says it; null when it says none. */
  readonly stopSignal: string | null;
}

const words = z.array(z.string()).nullish();

const inspected = z.object({
  OCIv1: z.object({
    architecture: z.string().nullish(),
    os: z.string().nullish(),
    config: z
      .object({
        Entrypoint: words,
        Cmd: words,
        Env: words,
        WorkingDir: z.string().nullish(),
        User: z.string().nullish(),
        ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
        StopSignal: z.string().nullish(),
      })
      .nullish(),
  }),
});

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** The ports only help to tell when the application is up, which takes a question to the guest for each. */
const PORT_LIMIT = 64;

/**
 * Reads the output of `buildah inspect`. HEALTHCHECK is ignored: hooks take its place. Rejects BUILD_FAILED for an image
 * that cannot be run: no command, or made for another machine than `arch` (as `process.arch` names it).
 */
export function readOciConfig(
  json: string,
  arch: string,
  onLog?: (line: string) => void,
): OciConfig {
  const { architecture, os, config } = parse(json).OCIv1;
  const expected = ARCHITECTURES[arch] ?? arch;
  if ((architecture && architecture !== expected) || (os && os !== "linux")) {
    throw buildFailure(
      "CONTAINER_BUILD_FAILED",
      `The container image is for ${os}/${architecture}: this host runs linux/${expected}`,
    );
  }
  const args = [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])];
  if (args[0] === undefined || args[0] === "") {
    throw buildFailure(
      "CONTAINER_BUILD_FAILED",
      "The container image has no command to run: give the Dockerfile an ENTRYPOINT or a CMD",
    );
  }
  const env = config?.Env ?? [];
  const ports = readPorts(Object.keys(config?.ExposedPorts ?? {}));
  if (ports.length > PORT_LIMIT) {
    onLog?.(
      `EXPOSE names more than ${PORT_LIMIT} TCP ports: only the lowest ${PORT_LIMIT} are watched`,
    );
  }
  return {
    args,
    env: env.some((variable) => variable.startsWith("PATH=")) ? env : [DEFAULT_PATH, ...env],
    workingDir: path.posix.join("/", config?.WorkingDir ?? ""),
    user: config?.User ?? "",
    exposedPorts: ports.slice(0, PORT_LIMIT),
    stopSignal: config?.StopSignal || null,
  };
}

function parse(json: string): z.output<typeof inspected> {
  try {
    return inspected.parse(JSON.parse(json));
  } catch (error) {
    throw buildFailure(
      "INTERNAL_PLATFORM_ERROR",
      `Cannot read the configuration of the container image: ${messageOf(error).slice(0, 300)}`,
      { cause: error },
    );
  }
}

/**
 * EXPOSE allows "8080", "8080/tcp" and "8000-8010/tcp"; other protocols are not reachable from outside. Stops at one more
 * than PORT_LIMIT: every range may have all 65535 ports, and there may be very many ranges.
 */
function readPorts(exposed: readonly string[]): number[] {
  const ranges = exposed.flatMap((text) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/tcp)?$/i.exec(text);
    if (match === null) return [];
    const first = Math.max(1, Number(match[1]));
    return [{ first, last: Math.min(Number(match[2] ?? match[1]), 65535) }];
  });
  const ports: number[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    for (let port = Math.max(first, (ports.at(-1) ?? 0) + 1); port <= last; port++) {
      if (ports.push(port) > PORT_LIMIT) return ports;
    }
  }
  return ports;
}
