// What a version is built from: the caller's input, checked and with its defaults.

import { ServiceError } from "../errors.ts";
import { managedConnectorArn } from "../microvms/connectors.ts";
import type { Scope } from "../microvms/records.ts";
import type { ManagedImages } from "./managed.ts";
import type { ImageConfigurationInput } from "./operations.ts";
import type { CpuTarget, Hooks, ImageConfiguration } from "./records.ts";
import { DEFAULT_BASELINE_MIB, SIZE_CLASSES, sizeClassOf } from "./size-class.ts";

export interface ConfigurationDeps {
  readonly managed: Pick<ManagedImages, "resolveVersion">;
  readonly cpuTarget: CpuTarget;
}

/**
 * The input with its defaults, to be built for the host's CPU target; its connectors are still to be looked up. Throws VALIDATION_FAILED or NOT_FOUND in the service's words.
 */
export function resolveConfiguration(
  { managed, cpuTarget }: ConfigurationDeps,
  scope: Scope,
  input: ImageConfigurationInput,
): ImageConfiguration {
  const { baseImageArn } = input;
  const baseImageVersion = managed.resolveVersion(scope, baseImageArn, input.baseImageVersion);
  checkArchitectures(cpuTarget, input);
  checkArtifactUri(input.codeArtifactUri);
  checkEnvironment(input.environmentVariables);
  checkHooks(input.hooks);
  return {
    codeArtifactUri: input.codeArtifactUri,
    baseImageArn,
    baseImageVersion,
    buildRoleArn: input.buildRoleArn,
    description: input.description ?? null,
    logging: input.logging ?? null,
    egressNetworkConnectors: input.egressNetworkConnectors ?? [
      managedConnectorArn(scope.region, "INTERNET_EGRESS"),
    ],
    cpuConfigurations: input.cpuConfigurations ?? null,
    memoryMiB: resolveMemory(input),
    additionalOsCapabilities: input.additionalOsCapabilities ?? null,
    hooks: input.hooks ?? null,
    environmentVariables: input.environmentVariables ?? null,
  };
}

function resolveMemory({
  memoryMiB = DEFAULT_BASELINE_MIB,
  baseImageArn,
}: ImageConfigurationInput) {
  if (sizeClassOf(memoryMiB) !== undefined) return memoryMiB;
  const offered = SIZE_CLASSES.map(({ baselineMiB }) => baselineMiB).join(", ");
  throw new ServiceError(
    "VALIDATION_FAILED",
    `The requested memory size of ${memoryMiB} MiB is not supported by base MicroVM image ${baseImageArn}. Supported memory sizes in MiB are: [${offered}].`,
  );
}

function checkArtifactUri(uri: string): void {
  if (/^s3:\/\/[^/]+\/.+$/.test(uri)) return;
  throw new ServiceError("VALIDATION_FAILED", `Code artifact is not an S3 object URI: ${uri}`);
}

function checkArchitectures(
  { architecture: offered }: CpuTarget,
  { cpuConfigurations = [] }: ImageConfigurationInput,
): void {
  const missing = cpuConfigurations.find(({ architecture }) => architecture !== offered);
  if (missing === undefined) return;
  throw new ServiceError(
    "VALIDATION_FAILED",
    `The CPU architecture ${missing.architecture} is not available on this host. Available architectures: [${offered}].`,
  );
}

function checkEnvironment(variables: ImageConfigurationInput["environmentVariables"]): void {
  if (variables === undefined || !("AWS_REGION" in variables)) return;
  throw new ServiceError("VALIDATION_FAILED", "Environment variable key 'AWS_REGION' is reserved");
}

function checkHooks(hooks: Hooks | undefined): void {
  const { run, resume, suspend, terminate } = hooks?.microvmHooks ?? {};
  const { ready, validate } = hooks?.microvmImageHooks ?? {};
  const hasRuntimeHook = [run, resume, suspend, terminate].includes("ENABLED");
  if (hasRuntimeHook && ready !== "ENABLED") {
    throw new ServiceError(
      "VALIDATION_FAILED",
      "The ready (/ready) MicroVM image hook must be enabled when any MicroVM lifecycle hook (run, resume, suspend, or terminate) is enabled. " +
        "The ready hook tells the service that initialization has finished, so that the snapshot is taken in a ready state.",
    );
  }
  const hasAnyHook = hasRuntimeHook || [ready, validate].includes("ENABLED");
  if (hooks?.port !== undefined && !hasAnyHook) {
    throw new ServiceError(
      "VALIDATION_FAILED",
      "A hook port can only be set when at least one hook is enabled.",
    );
  }
}
