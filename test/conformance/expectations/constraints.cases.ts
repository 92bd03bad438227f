// What is demanded of everything but images: the words of each refusal.

import type { Case, Step } from "../support/cases.ts";
import type { Json } from "../support/match.ts";
import { beginning, someText } from "../support/match.ts";
import { among, at, atLeast, atMost, from, invalid, missing, upTo, violates } from "./refusals.ts";
import { FLASK, HTTP_INGRESS, INTERNET_EGRESS, NO_MICROVM, REQUIRED, ROLE } from "./shapes.ts";

const create = { name: "flask", ...REQUIRED };

type Input = Readonly<Record<string, Json>>;

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

export const CONSTRAINT_CASES: readonly Case[] = [
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
    name: "Values over 1024 characters are not repeated",
    steps: [
      running(
        { imageIdentifier: "i".repeat(1024) },
        at("imageIdentifier", atMost(256), "i".repeat(1024)),
      ),
      running({ imageIdentifier: "i".repeat(1025) }, at("imageIdentifier", atMost(256))),
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
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, ingressNetworkConnectors: [""] },
        refusal: invalid(
          beginning("1 validation error detected: Value '[]' at 'ingressNetworkConnectors'"),
        ),
      },
    ],
  },
];
