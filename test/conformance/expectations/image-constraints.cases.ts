// What is demanded of an image: the words of each refusal.

import type { Case, Step } from "../support/cases.ts";
import type { Json } from "../support/match.ts";
import { beginning, someText } from "../support/match.ts";
import {
  among,
  at,
  atLeast,
  atMost,
  from,
  invalid,
  missing,
  pattern,
  upTo,
  violates,
} from "./refusals.ts";
import {
  ACCOUNT,
  BASE,
  FLASK,
  INTERNET_EGRESS,
  NO_MICROVM,
  REQUIRED,
  createdImage,
  imageArn,
} from "./shapes.ts";

const create = { name: "flask", ...REQUIRED };
const ROLE_PATTERN = "arn:aws[a-z\\-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
const NAME_PATTERN = "[a-zA-Z0-9-_]+";
const pairs = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`K${index}`, "v"]));

type Input = Readonly<Record<string, Json>>;

/** A creation with other or further members, and how it is refused. */
function creating(changes: Input, ...violations: readonly string[]): Step {
  return {
    call: "CreateMicrovmImage",
    input: { ...create, ...changes },
    refusal: violates(...violations),
  };
}

function refusing(changes: Input, message: Parameters<typeof invalid>[0]): Step {
  return {
    call: "CreateMicrovmImage",
    input: { ...create, ...changes },
    refusal: invalid(message),
  };
}

function running(changes: Input, ...violations: readonly string[]): Step {
  return {
    call: "RunMicrovm",
    input: { imageIdentifier: FLASK, ...changes },
    refusal: violates(...violations),
  };
}

const LONG_TOKEN = "t".repeat(129);

const TIMEOUTS = [
  ["microvmHooks", "runTimeoutInSeconds", 60],
  ["microvmHooks", "resumeTimeoutInSeconds", 60],
  ["microvmHooks", "suspendTimeoutInSeconds", 60],
  ["microvmHooks", "terminateTimeoutInSeconds", 60],
  ["microvmImageHooks", "readyTimeoutInSeconds", 3600],
  ["microvmImageHooks", "validateTimeoutInSeconds", 3600],
] as const;
/** As long, or as many, as they may be. */
const LARGEST = {
  name: "n".repeat(64),
  description: "d".repeat(5000),
  environmentVariables: { ...pairs(49), ["K".repeat(256)]: "v".repeat(4096) },
  tags: { ["k".repeat(128)]: "v".repeat(256) },
  logging: { cloudWatch: { logGroup: "g".repeat(512), logStream: "s".repeat(512) } },
  clientToken: "t".repeat(128),
};

export const IMAGE_CONSTRAINT_CASES: readonly Case[] = [
  {
    name: "Missing members are listed in one message, in the recorded order",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { name: "flask" },
        refusal: violates(
          missing("baseImageArn"),
          missing("codeArtifact"),
          missing("buildRoleArn"),
        ),
      },
      {
        call: "UpdateMicrovmImage",
        input: { imageIdentifier: FLASK },
        refusal: violates(
          missing("baseImageArn"),
          missing("codeArtifact"),
          missing("buildRoleArn"),
        ),
      },
      { call: "RunMicrovm", input: {}, refusal: violates(missing("imageIdentifier")) },
      {
        call: "UpdateMicrovmImageVersion",
        input: { imageIdentifier: FLASK, imageVersion: "1.0" },
        refusal: violates(missing("status")),
      },
      {
        call: "CreateMicrovmAuthToken",
        input: { microvmIdentifier: NO_MICROVM },
        refusal: violates(missing("expirationInMinutes"), missing("allowedPorts")),
      },
    ],
  },
  {
    name: "Names are 1 to 64 characters of the pattern, with every violation of one value",
    steps: [
      creating({ name: "a b" }, at("name", pattern(NAME_PATTERN), "a b")),
      creating({ name: "n".repeat(65) }, at("name", atMost(64), "n".repeat(65))),
      creating({ name: "" }, at("name", atLeast(1), ""), at("name", pattern(NAME_PATTERN), "")),
    ],
  },
  {
    name: "Roles are ARNs of IAM, 20 to 2048 characters long",
    steps: [
      creating(
        { buildRoleArn: "role" },
        at("buildRoleArn", atLeast(20), "role"),
        at("buildRoleArn", pattern(ROLE_PATTERN), "role"),
      ),
      running(
        { executionRoleArn: `arn:aws:iam::${ACCOUNT}:user/me` },
        at("executionRoleArn", pattern(ROLE_PATTERN), `arn:aws:iam::${ACCOUNT}:user/me`),
      ),
    ],
  },
  {
    name: "Lists have their longest lengths",
    steps: [
      creating(
        { egressNetworkConnectors: [INTERNET_EGRESS, INTERNET_EGRESS] },
        at("egressNetworkConnectors", atMost(1), `[${INTERNET_EGRESS}, ${INTERNET_EGRESS}]`),
      ),
      creating(
        { resources: [{ minimumMemoryInMiB: 512 }, { minimumMemoryInMiB: 512 }] },
        at("resources", atMost(1), "[{minimumMemoryInMiB=512}, {minimumMemoryInMiB=512}]"),
      ),
      running(
        { ingressNetworkConnectors: Array<string>(11).fill("c") },
        at("ingressNetworkConnectors", atMost(10), `[${Array<string>(11).fill("c").join(", ")}]`),
      ),
    ],
  },
  {
    name: "Environment variables: 50 at most, no blanks in keys, values never repeated",
    steps: [
      creating({ environmentVariables: pairs(51) }, at("environmentVariables", atMost(50))),
      {
        call: "CreateMicrovmImage",
        input: { ...create, environmentVariables: { "A B": "secret" } },
        refusal: invalid(beginning("1 validation error detected: Value at 'environmentVariables'")),
      },
      {
        call: "CreateMicrovmImage",
        input: { ...create, environmentVariables: { A: "s".repeat(4097) } },
        refusal: invalid(beginning("1 validation error detected: Value at 'environmentVariables'")),
      },
      refusing(
        { environmentVariables: { AWS_REGION: "eu-west-1" } },
        "Environment variable key 'AWS_REGION' is reserved",
      ),
    ],
  },
  {
    name: "Hook ports and timeouts have their bounds, states their two values",
    steps: [
      creating({ hooks: { port: 0 } }, at("hooks.port", from(1), "0")),
      creating({ hooks: { port: 65536 } }, at("hooks.port", upTo(65535), "65536")),
      ...TIMEOUTS.flatMap(([group, name, most]) => [
        creating(
          { hooks: { [group]: { [name]: most + 1 } } },
          at(`hooks.${group}.${name}`, upTo(most), `${most + 1}`),
        ),
        creating({ hooks: { [group]: { [name]: 0 } } }, at(`hooks.${group}.${name}`, from(1), "0")),
      ]),
      creating(
        { hooks: { microvmHooks: { run: "/run" } } },
        at("hooks.microvmHooks.run", among("DISABLED", "ENABLED"), "/run"),
      ),
    ],
  },
  {
    name: "Base image versions have no blanks, log groups their pattern and length",
    steps: [
      creating({ baseImageVersion: "1 0" }, at("baseImageVersion", pattern("[^\\s]+"), "1 0")),
      creating(
        { logging: { cloudWatch: { logGroup: "a b" } } },
        at("logging.cloudWatch.logGroup", pattern("[a-zA-Z0-9_\\-/.#]+"), "a b"),
      ),
      creating(
        { logging: { cloudWatch: { logStream: "a:b" } } },
        at("logging.cloudWatch.logStream", pattern("[^:*]*"), "a:b"),
      ),
      creating(
        { logging: { cloudWatch: { logGroup: "g".repeat(513) } } },
        at("logging.cloudWatch.logGroup", atMost(512), "g".repeat(513)),
      ),
    ],
  },
  {
    name: "Client tokens have 128 characters at most and are never repeated",
    steps: [
      creating({ clientToken: LONG_TOKEN }, at("clientToken", atMost(128))),
      running({ clientToken: LONG_TOKEN }, at("clientToken", atMost(128))),
    ],
  },
  {
    name: "Architectures and capabilities are those of the model",
    steps: [
      creating(
        { cpuConfigurations: [{ architecture: "MIPS" }] },
        at("cpuConfigurations.1.member.architecture", among("ARM_64", "X86_64"), "MIPS"),
      ),
      {
        call: "CreateMicrovmImage",
        input: { ...create, additionalOsCapabilities: ["SOME"] },
        refusal: invalid(
          beginning("1 validation error detected: Value '[SOME]' at 'additionalOsCapabilities'"),
        ),
      },
      refusing({ cpuConfigurations: [{ architecture: "ARM_64" }] }, someText),
    ],
  },
  {
    name: "Values of an image at their bounds are taken",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { ...create, ...LARGEST },
        answer: createdImage({
          name: LARGEST.name,
          imageArn: imageArn(LARGEST.name),
          description: LARGEST.description,
          environmentVariables: LARGEST.environmentVariables,
          logging: LARGEST.logging,
        }),
      },
    ],
  },
  {
    name: "A hook of a microVM needs the ready hook, a port needs any hook",
    steps: [
      refusing(
        { hooks: { port: 9000, microvmHooks: { run: "ENABLED" } } },
        beginning(
          "The ready (/ready) MicroVM image hook must be enabled when any MicroVM lifecycle hook (run, resume, suspend, or terminate) is enabled. ",
        ),
      ),
      refusing({ hooks: { port: 9000 } }, someText),
    ],
  },
  {
    name: "Memory sizes, base images and artifacts that are not there are refused",
    steps: [
      refusing(
        { resources: [{ minimumMemoryInMiB: 3000 }] },
        `The requested memory size of 3000 MiB is not supported by base MicroVM image ${BASE}. Supported memory sizes in MiB are: [512, 1024, 2048, 4096, 8192].`,
      ),
      refusing(
        { baseImageVersion: "7" },
        `No managed MicroVM Image with arn ${BASE} and version 7 is available`,
      ),
      refusing(
        { baseImageVersion: "1.0" },
        `No managed MicroVM Image with arn ${BASE} and version 1.0 is available`,
      ),
      refusing({ codeArtifact: { uri: "https://example.com/code.zip" } }, someText),
    ],
  },
  {
    name: "Every memory size of the service can be had",
    steps: [512, 1024, 2048, 4096, 8192].map((minimumMemoryInMiB) => ({
      call: "CreateMicrovmImage" as const,
      input: {
        ...create,
        name: `m${minimumMemoryInMiB}`,
        resources: [{ minimumMemoryInMiB }],
      },
    })),
  },
];
