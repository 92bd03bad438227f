// RunMicrovm: defaults, echoes and refusals.

import type { Case } from "../support/cases.ts";
import { aMicrovm, anImage, anUpdate, microvmIs, theMicrovm } from "./given.ts";
import { denied, invalid, notFound, overQuota } from "./refusals.ts";
import {
  ABSENT,
  ALL_INGRESS,
  FLASK,
  HTTP_INGRESS,
  imageArn,
  INTERNET_EGRESS,
  managedConnector,
  microvm,
  NO_INGRESS,
  OTHER_ACCOUNT,
  REQUIRED,
  ROLE,
  SHELL_INGRESS,
} from "./shapes.ts";
import { someText } from "../support/match.ts";

const flask = { imageIdentifier: FLASK };
const PENDING = { state: "PENDING" };
const HOOKS = {
  port: 9000,
  microvmHooks: { run: "ENABLED" },
  microvmImageHooks: { ready: "ENABLED" },
};
const POLICY = {
  maxIdleDurationSeconds: 900,
  suspendedDurationSeconds: 300,
  autoResumeEnabled: true,
};
const SHORTEST = {
  maxIdleDurationSeconds: 60,
  suspendedDurationSeconds: 0,
  autoResumeEnabled: false,
};
const NO_MEMORY = overQuota(
  "The base maximum allocated memory limit has been reached for this account.",
);

export const RUN_CASES: readonly Case[] = [
  {
    name: "RunMicrovm answers 200 PENDING with every member, defaults filled in, id and endpoint final",
    steps: [
      ...anImage(),
      { host: "hold", call: "run" },
      {
        call: "RunMicrovm",
        input: flask,
        answer: microvm(PENDING),
        keep: { microvmId: "microvmId", endpoint: "endpoint" },
      },
      {
        call: "GetMicrovm",
        input: theMicrovm,
        answer: microvm({ ...PENDING, microvmId: "<microvmId>", endpoint: "<endpoint>" }),
      },
      { host: "release", call: "run" },
      microvmIs("RUNNING"),
      {
        call: "GetMicrovm",
        input: theMicrovm,
        answer: microvm({ microvmId: "<microvmId>", endpoint: "<endpoint>" }),
      },
    ],
  },
  {
    name: "RunMicrovm echoes what was given, but never the payload",
    steps: [
      ...anImage({ hooks: HOOKS }),
      {
        call: "RunMicrovm",
        input: {
          ...flask,
          imageVersion: "1.0",
          executionRoleArn: ROLE,
          ingressNetworkConnectors: [HTTP_INGRESS, SHELL_INGRESS],
          egressNetworkConnectors: [INTERNET_EGRESS],
          idlePolicy: POLICY,
          maximumDurationInSeconds: 60,
          runHookPayload: "p".repeat(4096),
          logging: { cloudWatch: { logGroup: "/aws/lambda-microvms/flask" } },
        },
        answer: microvm({
          ...PENDING,
          executionRoleArn: ROLE,
          ingressNetworkConnectors: [HTTP_INGRESS, SHELL_INGRESS],
          idlePolicy: POLICY,
          maximumDurationInSeconds: 60,
        }),
      },
    ],
  },
  {
    name: "RunMicrovm takes values at their bounds",
    steps: [
      ...anImage(),
      ...[1, 28800].map((maximumDurationInSeconds) => ({
        call: "RunMicrovm" as const,
        input: { ...flask, maximumDurationInSeconds, clientToken: `${maximumDurationInSeconds}` },
        answer: microvm({ ...PENDING, maximumDurationInSeconds }),
      })),
      {
        call: "RunMicrovm",
        input: { ...flask, ingressNetworkConnectors: Array<string>(10).fill(HTTP_INGRESS) },
        answer: microvm({
          ...PENDING,
          ingressNetworkConnectors: Array<string>(10).fill(HTTP_INGRESS),
        }),
      },
      {
        call: "RunMicrovm",
        input: { ...flask, idlePolicy: SHORTEST },
        answer: microvm({ ...PENDING, idlePolicy: SHORTEST }),
      },
    ],
  },
  {
    name: "RunMicrovm takes the latest ACTIVE version unless one is named",
    steps: [
      ...anImage(),
      ...anUpdate(),
      { call: "RunMicrovm", input: flask, answer: microvm({ ...PENDING, imageVersion: "2.0" }) },
      { call: "RunMicrovm", input: { ...flask, imageVersion: "1.0" }, answer: microvm(PENDING) },
    ],
  },
  {
    name: "RunMicrovm takes every managed ingress connector, also sets that the shell will refuse",
    steps: [
      ...anImage(),
      ...[[ALL_INGRESS], [NO_INGRESS], [ALL_INGRESS, SHELL_INGRESS]].map((connectors) => ({
        call: "RunMicrovm" as const,
        input: { ...flask, ingressNetworkConnectors: connectors },
        answer: microvm({ ...PENDING, ingressNetworkConnectors: connectors }),
      })),
    ],
  },
  {
    name: "RunMicrovm answers 404 for an image or a version that cannot be run",
    steps: [
      {
        call: "RunMicrovm",
        input: { imageIdentifier: ABSENT },
        refusal: notFound(`No active version found for MicroVM image ${ABSENT}`),
      },
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { ...flask, imageVersion: "9.0" },
        refusal: notFound(`No active version found for MicroVM image ${FLASK} and version 9.0`),
      },
    ],
  },
  {
    name: "RunMicrovm takes no bare name",
    steps: [
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { imageIdentifier: "flask" },
        refusal: invalid("Malformed ARN - doesn't start with 'arn:'"),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: "flask", runHookPayload: "looked at later" },
        refusal: invalid("Malformed ARN - doesn't start with 'arn:'"),
      },
    ],
  },
  {
    name: "RunMicrovm denies an image of another account, the text under Message",
    steps: [
      {
        call: "RunMicrovm",
        input: { imageIdentifier: imageArn("flask", { account: OTHER_ACCOUNT }) },
        refusal: denied(someText),
      },
    ],
  },
  {
    name: "RunMicrovm refuses a payload for an image without the run hook",
    steps: [
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { ...flask, runHookPayload: "p" },
        refusal: invalid(
          "The run hook must be enabled in the MicroVM image to pass the run hook payload.",
        ),
      },
    ],
  },
  {
    name: "RunMicrovm refuses logging without an execution role",
    steps: [
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { ...flask, logging: { cloudWatch: {} } },
        refusal: invalid("Logging cannot be enabled without providing executionRoleArn"),
      },
      {
        call: "RunMicrovm",
        input: { ...flask, logging: { disabled: {} } },
        answer: microvm(PENDING),
      },
    ],
  },
  {
    name: "RunMicrovm answers 404 for a connector that does not exist",
    steps: [
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { ...flask, ingressNetworkConnectors: [managedConnector("TCP_INGRESS")] },
        refusal: notFound(`Network connector not found for: ${managedConnector("TCP_INGRESS")}`),
      },
      {
        call: "RunMicrovm",
        input: { ...flask, egressNetworkConnectors: [managedConnector("NO_EGRESS")] },
        refusal: notFound(`Network connector not found for: ${managedConnector("NO_EGRESS")}`),
      },
    ],
  },
  {
    name: "The memory quota counts baselines from PENDING to TERMINATING, and answers 402",
    service: { quotas: { memoryMiB: 4096 } },
    steps: [
      ...aMicrovm(),
      { call: "SuspendMicrovm", input: theMicrovm },
      microvmIs("SUSPENDED"),
      { host: "hold", call: "run" },
      { call: "RunMicrovm", input: flask },
      { call: "RunMicrovm", input: flask, refusal: NO_MEMORY },
      { host: "hold", call: "terminate" },
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATING"),
      { call: "RunMicrovm", input: flask, refusal: NO_MEMORY },
      { host: "release", call: "terminate" },
      microvmIs("TERMINATED"),
      { call: "RunMicrovm", input: flask, answer: microvm(PENDING) },
    ],
  },
  {
    name: "The memory quota counts builds while they run",
    service: { quotas: { memoryMiB: 2048 } },
    steps: [
      ...anImage(),
      { host: "hold", call: "build" },
      { call: "UpdateMicrovmImage", input: { ...flask, ...REQUIRED } },
      {
        until: "GetMicrovmImageVersion",
        input: { ...flask, imageVersion: "2.0" },
        has: ["state", "IN_PROGRESS"],
      },
      { call: "RunMicrovm", input: flask, refusal: NO_MEMORY },
      { host: "release", call: "build" },
      {
        until: "GetMicrovmImageVersion",
        input: { ...flask, imageVersion: "2.0" },
        has: ["state", "SUCCESSFUL"],
      },
      { call: "RunMicrovm", input: flask, answer: microvm({ ...PENDING, imageVersion: "2.0" }) },
    ],
  },
];
