// The input of every operation as one schema: members of body, path and query together, under their wire names.
// Constraints stand nowhere else. They are those of the service model.
//
// Members stand in the order in which the service lists violations: that of a hash map of the member names, as
// recorded for CreateMicrovmImage (baseImageArn, codeArtifact, buildRoleArn). A unit test recomputes it.

import { z } from "zod";
import type { CreateImageInput, UpdateImageInput } from "../images/operations.ts";
import type { RunInput } from "../microvms/operations.ts";
import type { Logging } from "../microvms/records.ts";
import type { PortGrant } from "../tokens/tokens.ts";
import {
  integer,
  listOf,
  oneOf,
  queryInteger,
  structure,
  text,
  textList,
  textMap,
  textOfBytes,
  union,
  unit,
  unsupported,
} from "./shapes.ts";

/** Members whose values are never repeated in a message, wherever they occur. */
export const SENSITIVE_MEMBERS: ReadonlySet<string> = new Set([
  "runHookPayload",
  "environmentVariables",
  "clientToken",
  "nextToken",
]);

const DEFAULT_PAGE_SIZE = 10;
const MAX_PAGE_SIZE = 50;
const TAG_PATTERN = "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)";
const TAGGABLE_PATTERN =
  "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector|microvm-image):[a-zA-Z0-9-_]+)";

const nonBlank = () => text({ min: 1, max: 2048, pattern: "[^\\s]+" });
const imageIdentifier = () => text({ min: 1, max: 256 });
const microvmIdentifier = () => text({ min: 1, max: 256 });
const clientToken = () => text({ min: 1, max: 128 }).exactOptional();
/** Without the key that a caller named, what should be encrypted with it must not be made. */
const kmsKeyIdentifier = () => unsupported("this service has no customer managed keys");
const architecture = () => oneOf(["ARM_64", "X86_64"]);
const connector = () => text({ min: 1, max: 2048 });
const roleArn = () =>
  text({
    min: 20,
    max: 2048,
    pattern: "arn:aws[a-z\\-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
  });
const maxResults = () => queryInteger({ min: 1, max: MAX_PAGE_SIZE }).default(DEFAULT_PAGE_SIZE);
const nextToken = () => text().exactOptional();

const logging = () =>
  union({
    cloudWatch: structure({
      logGroup: text({ min: 1, max: 512, pattern: "[a-zA-Z0-9_\\-/.#]+" }).exactOptional(),
      logStream: text({ min: 1, max: 512, pattern: "[^:*]*" }).exactOptional(),
    }).exactOptional(),
    disabled: unit().exactOptional(),
  }).transform(({ cloudWatch }): Logging => (cloudWatch ? { cloudWatch } : { disabled: {} }));

const hookState = () => oneOf(["DISABLED", "ENABLED"]).exactOptional();
const hookTimeout = (max: number) => integer({ min: 1, max }).exactOptional();
const hooks = () =>
  structure({
    microvmImageHooks: structure({
      validateTimeoutInSeconds: hookTimeout(3600),
      ready: hookState(),
      readyTimeoutInSeconds: hookTimeout(3600),
      validate: hookState(),
    }).exactOptional(),
    port: integer({ min: 1, max: 65535 }).exactOptional(),
    microvmHooks: structure({
      resume: hookState(),
      suspend: hookState(),
      resumeTimeoutInSeconds: hookTimeout(60),
      suspendTimeoutInSeconds: hookTimeout(60),
      runTimeoutInSeconds: hookTimeout(60),
      run: hookState(),
      terminate: hookState(),
      terminateTimeoutInSeconds: hookTimeout(60),
    }).exactOptional(),
  });

const tags = () =>
  textMap(
    text({ min: 1, max: 128, pattern: TAG_PATTERN }),
    text({ min: 0, max: 256, pattern: TAG_PATTERN }),
  );

/** What a version is built from. */
const configuration = {
  additionalOsCapabilities: textList(oneOf(["ALL"])).exactOptional(),
  description: text().exactOptional(),
  resources: listOf(structure({ minimumMemoryInMiB: integer() }), { max: 1 }).exactOptional(),
  egressNetworkConnectors: textList(connector(), { max: 1 }).exactOptional(),
  cpuConfigurations: listOf(structure({ architecture: architecture() })).exactOptional(),
  environmentVariables: textMap(
    text({ min: 1, max: 256, pattern: "[^\\s]+" }),
    text({ min: 0, max: 4096 }),
    { max: 50 },
  ).exactOptional(),
  baseImageArn: nonBlank(),
  codeArtifact: union({ uri: nonBlank().exactOptional() }),
  baseImageVersion: nonBlank().exactOptional(),
  logging: logging().exactOptional(),
  buildRoleArn: roleArn(),
  hooks: hooks().exactOptional(),
};

type WireConfiguration = Readonly<{
  [K in "codeArtifact" | "resources"]?: z.output<(typeof configuration)[K]>;
}>;

/** The input without the shells that the wire has around two of its members. */
function unwrapped<T extends WireConfiguration>({ codeArtifact, resources, ...rest }: T) {
  const memoryMiB = resources?.[0]?.minimumMemoryInMiB;
  return {
    ...rest,
    codeArtifactUri: codeArtifact?.uri ?? "",
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
  };
}

export const createMicrovmImage = structure({
  clientToken: clientToken(),
  kmsKeyIdentifier: kmsKeyIdentifier(),
  additionalOsCapabilities: configuration.additionalOsCapabilities,
  description: configuration.description,
  resources: configuration.resources,
  egressNetworkConnectors: configuration.egressNetworkConnectors,
  cpuConfigurations: configuration.cpuConfigurations,
  tags: tags().exactOptional(),
  environmentVariables: configuration.environmentVariables,
  baseImageArn: configuration.baseImageArn,
  codeArtifact: configuration.codeArtifact,
  baseImageVersion: configuration.baseImageVersion,
  name: text({ min: 1, max: 64, pattern: "[a-zA-Z0-9-_]+" }),
  logging: configuration.logging,
  buildRoleArn: configuration.buildRoleArn,
  hooks: configuration.hooks,
}).transform((input): CreateImageInput => unwrapped(input));

export const updateMicrovmImage = structure({
  imageIdentifier: imageIdentifier(),
  clientToken: clientToken(),
  kmsKeyIdentifier: kmsKeyIdentifier(),
  ...configuration,
}).transform(({ imageIdentifier: imageArn, ...rest }): UpdateImageInput => ({
  ...unwrapped(rest),
  imageArn,
}));

export const imageInput = structure({ imageIdentifier: imageIdentifier() });

export const imageVersionInput = structure({
  imageVersion: nonBlank(),
  imageIdentifier: imageIdentifier(),
});

export const updateMicrovmImageVersion = structure({
  imageVersion: nonBlank(),
  imageIdentifier: imageIdentifier(),
  status: oneOf(["ACTIVE", "INACTIVE"]),
});

export const imageBuildInput = structure({
  imageVersion: nonBlank(),
  imageIdentifier: imageIdentifier(),
  buildId: nonBlank(),
});

export const listMicrovmImageBuilds = structure({
  imageVersion: nonBlank(),
  imageIdentifier: imageIdentifier(),
  maxResults: maxResults(),
  nextToken: nextToken(),
  chipsetGeneration: nonBlank().exactOptional(),
  chipset: oneOf(["GENERIC", "GRAVITON", "INTEL"]).exactOptional(),
  architecture: architecture().exactOptional(),
});

/** ListMicrovmImageVersions and ListManagedMicrovmImageVersions. */
export const listImageVersions = structure({
  imageIdentifier: imageIdentifier(),
  maxResults: maxResults(),
  nextToken: nextToken(),
});

export const listManagedMicrovmImages = structure({
  maxResults: maxResults(),
  nextToken: nextToken(),
});

/** Every region name works here, where the service's pattern knows what its own look like. */
const taggableResource = () =>
  text({
    min: 1,
    max: 10_000,
    pattern: TAGGABLE_PATTERN,
    accepts:
      /^arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:(?:network-connector|microvm-image):[\w-]+$/,
  });

export const tagInput = structure({ Resource: taggableResource() });

export const tagResource = structure({ Resource: taggableResource(), Tags: tags() });

export const untagResource = structure({
  tagKeys: textList(text({ min: 1, max: 128, pattern: TAG_PATTERN })),
  Resource: taggableResource(),
});

export const listMicrovmImages = structure({
  maxResults: maxResults(),
  nextToken: nextToken(),
  nameFilter: nonBlank().exactOptional(),
});

export const runMicrovm = structure({
  imageVersion: nonBlank().exactOptional(),
  runHookPayload: textOfBytes(4096).exactOptional(),
  imageIdentifier: imageIdentifier(),
  executionRoleArn: roleArn().exactOptional(),
  clientToken: clientToken(),
  kmsKeyIdentifier: kmsKeyIdentifier(),
  idlePolicy: structure({
    maxIdleDurationSeconds: integer({ min: 60 }),
    suspendedDurationSeconds: integer({ min: 0 }),
    autoResumeEnabled: z.boolean(),
  }).exactOptional(),
  ingressNetworkConnectors: textList(connector(), { max: 10 }).exactOptional(),
  logging: logging().exactOptional(),
  maximumDurationInSeconds: integer({ min: 1, max: 28800 }).exactOptional(),
  egressNetworkConnectors: textList(connector(), { max: 10 }).exactOptional(),
}).transform(({ imageIdentifier: imageArn, ...rest }): RunInput => ({ ...rest, imageArn }));

export const microvmInput = structure({ microvmIdentifier: microvmIdentifier() });

export const listMicrovms = structure({
  imageVersion: text().exactOptional(),
  imageIdentifier: imageIdentifier().exactOptional(),
  maxResults: maxResults(),
  nextToken: nextToken(),
});

const port = () => integer({ min: 1, max: 65535 });

const portRange = () =>
  structure({ startPort: port(), endPort: port() }).refine(
    ({ startPort, endPort }) => startPort <= endPort,
    {
      error: "Member must have startPort less than or equal to endPort",
      // Ports that are none are told by themselves.
      when: ({ issues }) => issues.length === 0,
    },
  );

const portGrant = () =>
  union({
    port: port().exactOptional(),
    allPorts: unit().exactOptional(),
    range: portRange().exactOptional(),
  }).transform((grant): PortGrant => {
    if (grant.port !== undefined) return { port: grant.port };
    if (grant.range !== undefined) return { range: grant.range };
    return { allPorts: {} };
  });

export const createMicrovmShellAuthToken = structure({
  expirationInMinutes: integer({ min: 1, max: 60 }),
  microvmIdentifier: microvmIdentifier(),
});

export const createMicrovmAuthToken = structure({
  expirationInMinutes: integer({ min: 1, max: 60 }),
  microvmIdentifier: microvmIdentifier(),
  allowedPorts: listOf(portGrant(), { min: 1 }),
});
