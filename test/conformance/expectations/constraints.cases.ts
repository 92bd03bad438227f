// Constraints of the model and what the domain demands of a configuration: the words of each refusal.

import type { Case, Step } from "../support/cases.ts";
import type { Json } from "../support/match.ts";
import { beginning, someText } from "../support/match.ts";
import { at, invalid, missing, violates } from "./refusals.ts";
import {
  ACCOUNT,
  BASE,
  FLASK,
  HTTP_INGRESS,
  INTERNET_EGRESS,
  NO_MICROVM,
  REQUIRED,
  ROLE,
} from "./shapes.ts";

const create = { name: "flask", ...REQUIRED };
const ROLE_PATTERN = "arn:aws[a-z\\-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
const NAME_PATTERN = "[a-zA-Z0-9-_]+";
const pattern = (expression: string) => `satisfy regular expression pattern: ${expression}`;
const atMost = (length: number) => `have length less than or equal to ${length}`;
const atLeast = (length: number) => `have length greater than or equal to ${length}`;
const upTo = (value: number) => `have value less than or equal to ${value}`;
const from = (value: number) => `have value greater than or equal to ${value}`;
const among = (...values: readonly string[]) => `satisfy enum value set: [${values.join(", ")}]`;
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

function minting(changes: Input, ...violations: readonly string[]): Step {
  const input = {
    microvmIdentifier: NO_MICROVM,
    expirationInMinutes: 5,
    allowedPorts: [{ port: 80 }],
  };
  return {
    call: "CreateMicrovmAuthToken",
    input: { ...input, ...changes },
    refusal: violates(...violations),
  };
}

const LONG_TOKEN = "t".repeat(129);

export const CONSTRAINT_CASES: readonly Case[] = [
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
      creating(
        { hooks: { microvmHooks: { runTimeoutInSeconds: 61 } } },
        at("hooks.microvmHooks.runTimeoutInSeconds", upTo(60), "61"),
      ),
      creating(
        { hooks: { microvmImageHooks: { readyTimeoutInSeconds: 3601 } } },
        at("hooks.microvmImageHooks.readyTimeoutInSeconds", upTo(3600), "3601"),
      ),
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
  {
    name: "Several violations are counted and joined",
    steps: [
      running(
        { maximumDurationInSeconds: 28801, runHookPayload: "p".repeat(4097) },
        at("runHookPayload", atMost(4096)),
        at("maximumDurationInSeconds", upTo(28800), "28801"),
      ),
    ],
  },
  {
    name: "A payload has 4096 bytes at most, counted in UTF-8, and is never repeated",
    steps: [
      running({ runHookPayload: "p".repeat(4097) }, at("runHookPayload", atMost(4096))),
      running({ runHookPayload: "ü".repeat(2049) }, at("runHookPayload", atMost(4096))),
    ],
  },
  {
    name: "An idle policy has all three members, and their bounds",
    steps: [
      running(
        { idlePolicy: { maxIdleDurationSeconds: 60, suspendedDurationSeconds: 0 } },
        missing("idlePolicy.autoResumeEnabled"),
      ),
      running(
        { idlePolicy: { suspendedDurationSeconds: 0, autoResumeEnabled: true } },
        missing("idlePolicy.maxIdleDurationSeconds"),
      ),
      running(
        { idlePolicy: { maxIdleDurationSeconds: 60, autoResumeEnabled: true } },
        missing("idlePolicy.suspendedDurationSeconds"),
      ),
      running(
        {
          idlePolicy: {
            maxIdleDurationSeconds: 59,
            suspendedDurationSeconds: -1,
            autoResumeEnabled: true,
          },
        },
        at("idlePolicy.maxIdleDurationSeconds", from(60), "59"),
        at("idlePolicy.suspendedDurationSeconds", from(0), "-1"),
      ),
    ],
  },
  {
    name: "A life has 1 to 28800 seconds",
    steps: [
      running({ maximumDurationInSeconds: 0 }, at("maximumDurationInSeconds", from(1), "0")),
      running(
        { maximumDurationInSeconds: 28801 },
        at("maximumDurationInSeconds", upTo(28800), "28801"),
      ),
    ],
  },
  {
    name: "Constraints come before the form of ARNs",
    steps: [
      {
        call: "RunMicrovm",
        input: { imageIdentifier: "flask", runHookPayload: "p".repeat(4097) },
        refusal: violates(at("runHookPayload", atMost(4096))),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: "i".repeat(257) },
        refusal: violates(at("imageIdentifier", atMost(256), "i".repeat(257))),
      },
    ],
  },
  {
    name: "Token lifetimes are 1 to 60 minutes, ports 1 to 65535, of which there is at least one",
    steps: [
      minting({ expirationInMinutes: 0 }, at("expirationInMinutes", from(1), "0")),
      minting({ expirationInMinutes: 61 }, at("expirationInMinutes", upTo(60), "61")),
      minting({ allowedPorts: [] }, at("allowedPorts", atLeast(1), "[]")),
      minting({ allowedPorts: [{ port: 0 }] }, at("allowedPorts.1.member.port", from(1), "0")),
      minting(
        { allowedPorts: [{ port: 80 }, { range: { startPort: 1, endPort: 65536 } }] },
        at("allowedPorts.2.member.range.endPort", upTo(65535), "65536"),
      ),
      minting(
        { allowedPorts: [{ range: { endPort: 80 } }] },
        missing("allowedPorts.1.member.range.startPort"),
      ),
    ],
  },
  {
    name: "A version's status is ACTIVE or INACTIVE",
    steps: [
      {
        call: "UpdateMicrovmImageVersion",
        input: { imageIdentifier: FLASK, imageVersion: "1.0", status: "OFF" },
        refusal: violates(at("status", among("ACTIVE", "INACTIVE"), "OFF")),
      },
    ],
  },
  {
    name: "Keys and values of tags have their lengths",
    steps: [
      {
        call: "TagResource",
        input: { Resource: FLASK, Tags: { ["k".repeat(129)]: "v" } },
        refusal: invalid(beginning("1 validation error detected: Value '")),
      },
      {
        call: "TagResource",
        input: { Resource: FLASK, Tags: { key: "v".repeat(257) } },
        refusal: invalid(beginning("1 validation error detected: Value '")),
      },
      {
        call: "UntagResource",
        input: { Resource: FLASK, TagKeys: ["k".repeat(129)] },
        refusal: invalid(beginning("1 validation error detected: Value '")),
      },
    ],
  },
  {
    name: "Connectors given to a microVM must be ARNs of the right direction, and some",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { ...create, egressNetworkConnectors: ["INTERNET_EGRESS"] },
        refusal: invalid("Malformed network connector ARN"),
      },
      {
        call: "CreateMicrovmImage",
        input: { ...create, egressNetworkConnectors: [HTTP_INGRESS] },
        refusal: invalid(someText),
      },
      { call: "CreateMicrovmImage", input: { ...create, buildRoleArn: ROLE } },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, egressNetworkConnectors: ["INTERNET_EGRESS"] },
        refusal: invalid("Malformed network connector ARN"),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, ingressNetworkConnectors: [INTERNET_EGRESS] },
        refusal: invalid(someText),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, ingressNetworkConnectors: [] },
        refusal: invalid(someText),
      },
    ],
  },
];
