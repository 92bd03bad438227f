// MicroVMs that were launched: found, listed, and the moves between their states.

import type { Case, Step } from "../support/cases.ts";
import { epoch, matching, oneOf, someText } from "../support/match.ts";
import {
  aLaunch,
  aMicrovm,
  anImage,
  anUpdate,
  aSuspendedMicrovm,
  aTerminatedMicrovm,
  microvmIs,
  theMicrovm,
} from "./given.ts";
import { conflict, invalid, notFound } from "./refusals.ts";
import { ABSENT, FLASK, microvm, microvmItem, NO_MICROVM } from "./shapes.ts";

const nobody = { microvmIdentifier: NO_MICROVM };
const NOT_FOUND = notFound(`MicroVM not found: ${NO_MICROVM}`);
const BY_ID = { microvmIdentifier: "<microvmId>" };
const ENDED = invalid(
  "The MicroVM <microvmId> has been terminated and its state cannot be changed.",
);
const HOUR = 3600;
const DAY = 24 * HOUR;

type Members = Parameters<typeof microvm>[0];
const is = (changes: Members): Step => ({
  call: "GetMicrovm",
  input: BY_ID,
  answer: microvm({ microvmId: "<microvmId>", endpoint: "<endpoint>", ...changes }),
});
const terminated = (changes: Members): Step =>
  is({ state: "TERMINATED", terminatedAt: epoch, ...changes });
const policy = (maxIdleDurationSeconds: number, suspendedDurationSeconds: number) => ({
  idlePolicy: { maxIdleDurationSeconds, suspendedDurationSeconds, autoResumeEnabled: true },
});
const hooks = (...names: readonly string[]) => ({
  hooks: {
    port: 9000,
    microvmHooks: Object.fromEntries(names.map((name) => [name, "ENABLED"])),
    microvmImageHooks: { ready: "ENABLED" },
  },
});
const hookAnswers = (status: number): Step => ({
  host: "fail",
  call: "callHook",
  failure: { code: "HOOK_FAILED", message: "The hook failed", details: { status } },
});
const pass = (seconds: number): Step => ({ service: "pass", seconds });

export const MICROVM_CASES: readonly Case[] = [
  {
    name: "GetMicrovm answers 404 for a microVM that does not exist",
    steps: [{ call: "GetMicrovm", input: nobody, refusal: NOT_FOUND }],
  },
  {
    name: "Operations on a microVM that does not exist, or is another account's, answer 404",
    steps: [
      ...(["SuspendMicrovm", "ResumeMicrovm", "TerminateMicrovm"] as const).map((call) => ({
        call,
        input: nobody,
        refusal: NOT_FOUND,
      })),
      ...aMicrovm(),
      ...(["GetMicrovm", "SuspendMicrovm", "TerminateMicrovm"] as const).map((call) => ({
        call,
        input: BY_ID,
        as: "other" as const,
        refusal: notFound("MicroVM not found: <microvmId>"),
      })),
      {
        call: "GetMicrovm",
        input: BY_ID,
        region: "eu-west-1",
        refusal: notFound("MicroVM not found: <microvmId>"),
      },
    ],
  },
  {
    name: "ListMicrovms has five members an item, and filters by image and version",
    steps: [
      ...anImage(),
      ...anUpdate(),
      aLaunch({ imageVersion: "1.0" }),
      microvmIs("RUNNING"),
      aLaunch(),
      microvmIs("RUNNING"),
      {
        call: "ListMicrovms",
        input: { imageIdentifier: FLASK, imageVersion: "1.0" },
        answer: { items: [microvmItem()], nextToken: null },
      },
      {
        call: "ListMicrovms",
        input: { imageIdentifier: FLASK },
        answer: {
          items: [
            microvmItem({ imageVersion: oneOf("1.0", "2.0") }),
            microvmItem({ imageVersion: oneOf("1.0", "2.0") }),
          ],
          nextToken: null,
        },
      },
      {
        call: "ListMicrovms",
        input: { imageIdentifier: ABSENT },
        answer: { items: [], nextToken: null },
      },
      { call: "ListMicrovms", as: "other", answer: { items: [], nextToken: null } },
    ],
  },
  {
    name: "ListMicrovms keeps TERMINATED microVMs",
    steps: [
      ...aTerminatedMicrovm(),
      {
        call: "ListMicrovms",
        answer: { items: [microvmItem({ state: "TERMINATED" })], nextToken: null },
      },
    ],
  },
  {
    name: "SuspendMicrovm and ResumeMicrovm answer {} and keep id, endpoint and start",
    steps: [
      ...aMicrovm(),
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      microvmIs("SUSPENDED"),
      is({ state: "SUSPENDED" }),
      { call: "ResumeMicrovm", input: theMicrovm, answer: {} },
      microvmIs("RUNNING"),
      is({}),
    ],
  },
  {
    name: "SuspendMicrovm shows SUSPENDING on the way, and a resume never PENDING",
    steps: [
      ...aMicrovm(),
      { host: "hold", call: "suspend" },
      { call: "SuspendMicrovm", input: theMicrovm },
      microvmIs("SUSPENDING"),
      { host: "release", call: "suspend" },
      microvmIs("SUSPENDED"),
      { host: "hold", call: "resume" },
      { call: "ResumeMicrovm", input: theMicrovm },
      is({ state: "SUSPENDED" }),
      { host: "release", call: "resume" },
      microvmIs("RUNNING"),
    ],
  },
  {
    name: "SuspendMicrovm is idempotent, and remembered in PENDING",
    steps: [
      ...anImage(),
      { host: "hold", call: "run" },
      aLaunch(),
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      is({ state: "PENDING" }),
      { host: "release", call: "run" },
      microvmIs("SUSPENDED"),
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      is({ state: "SUSPENDED" }),
    ],
  },
  {
    name: "ResumeMicrovm of one that runs answers 409 naming the state",
    steps: [
      ...aMicrovm(),
      {
        call: "ResumeMicrovm",
        input: theMicrovm,
        refusal: conflict("MicroVM <microvmId> is already in state: RUNNING"),
      },
    ],
  },
  {
    name: "TerminateMicrovm answers {}, again when it is done, with the reason Success.",
    steps: [
      ...aMicrovm(),
      { host: "hold", call: "terminate" },
      { call: "TerminateMicrovm", input: theMicrovm, answer: {} },
      microvmIs("TERMINATING"),
      { call: "TerminateMicrovm", input: theMicrovm, answer: {} },
      { host: "release", call: "terminate" },
      microvmIs("TERMINATED"),
      terminated({ stateReason: "Success." }),
      { call: "TerminateMicrovm", input: theMicrovm, answer: {} },
    ],
  },
  {
    name: "TerminateMicrovm takes a SUSPENDED microVM without a resume, and a PENDING one",
    steps: [
      ...aSuspendedMicrovm(),
      { call: "TerminateMicrovm", input: theMicrovm, answer: {} },
      microvmIs("TERMINATED"),
      terminated({ stateReason: "Success." }),
      { host: "hold", call: "run" },
      aLaunch(),
      { call: "TerminateMicrovm", input: theMicrovm, answer: {} },
      microvmIs("TERMINATED"),
    ],
  },
  {
    name: "A TERMINATED microVM can be neither suspended nor resumed, TERMINATING ones likewise",
    steps: [
      ...aMicrovm(),
      { host: "hold", call: "terminate" },
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATING"),
      { call: "SuspendMicrovm", input: theMicrovm, refusal: ENDED },
      { host: "release", call: "terminate" },
      microvmIs("TERMINATED"),
      { call: "SuspendMicrovm", input: theMicrovm, refusal: ENDED },
      { call: "ResumeMicrovm", input: theMicrovm, refusal: ENDED },
    ],
  },
  {
    name: "TERMINATED microVMs stay visible for a day",
    steps: [
      ...aTerminatedMicrovm(),
      pass(23 * HOUR),
      terminated({ stateReason: "Success." }),
      pass(2 * HOUR),
      { until: "GetMicrovm", input: theMicrovm, has: "refused" },
      {
        call: "GetMicrovm",
        input: theMicrovm,
        refusal: notFound("MicroVM not found: <microvmId>"),
      },
      { call: "ListMicrovms", answer: { items: [], nextToken: null } },
    ],
  },
  {
    name: "A life ends after 8 hours, suspended ones included",
    steps: [
      ...aSuspendedMicrovm(),
      pass(8 * HOUR - 60),
      is({ state: "SUSPENDED" }),
      pass(61),
      microvmIs("TERMINATED"),
      terminated({ stateReason: "MicroVM exceeded maximum lifetime." }),
    ],
  },
  {
    name: "A life ends after the seconds that were asked for",
    steps: [
      ...aMicrovm({ maximumDurationInSeconds: 600 }),
      pass(601),
      microvmIs("TERMINATED"),
      terminated({
        maximumDurationInSeconds: 600,
        stateReason: "MicroVM exceeded maximum lifetime.",
      }),
    ],
  },
  {
    name: "Without an idle policy nothing is suspended, and what is suspended stays so",
    steps: [
      ...aMicrovm(),
      pass(HOUR),
      is({}),
      { call: "SuspendMicrovm", input: theMicrovm },
      microvmIs("SUSPENDED"),
      pass(HOUR + 17),
      is({ state: "SUSPENDED" }),
    ],
  },
  {
    name: "An idle microVM is suspended when its policy says so, and terminated after its time asleep",
    steps: [
      ...aMicrovm(policy(60, 300)),
      pass(70),
      microvmIs("SUSPENDED"),
      is({ state: "SUSPENDED", ...policy(60, 300) }),
      pass(310),
      microvmIs("TERMINATED"),
      terminated({ ...policy(60, 300), stateReason: someText }),
    ],
  },
  {
    name: "With no time asleep an idle microVM is terminated instead of suspended",
    steps: [
      ...aMicrovm(policy(60, 0)),
      pass(70),
      microvmIs("TERMINATED"),
      terminated({ ...policy(60, 0), stateReason: someText }),
    ],
  },
  {
    name: "A run hook that does not answer 200 ends the microVM, saying so",
    steps: [
      ...anImage(hooks("run")),
      hookAnswers(404),
      aLaunch(),
      microvmIs("TERMINATED"),
      terminated({
        stateReason:
          "Run lifecycle hook returned HTTP status 404. Please check your hook endpoint and application logs for more details.",
      }),
    ],
  },
  {
    name: "A suspend hook that does not answer 200 keeps the microVM running",
    steps: [
      ...anImage(hooks("suspend")),
      aLaunch(),
      microvmIs("RUNNING"),
      hookAnswers(500),
      { host: "hold", call: "suspend" },
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      {
        until: "GetMicrovm",
        input: theMicrovm,
        has: [
          "stateReason",
          "Suspend lifecycle hook returned HTTP status 500. Please check your hook endpoint and application logs for more details.",
        ],
      },
      is({ stateReason: someText }),
    ],
  },
  {
    name: "A terminate hook that fails does not keep the microVM alive",
    steps: [
      ...anImage(hooks("terminate")),
      aLaunch(),
      microvmIs("RUNNING"),
      hookAnswers(500),
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATED"),
    ],
  },
  {
    name: "A microVM whose application ended is TERMINATED with the reason",
    steps: [
      ...aMicrovm(),
      { host: "kill", microvm: "<microvmId>", reason: "The application exited with status 3." },
      microvmIs("TERMINATED"),
      terminated({ stateReason: matching(/exited with status 3/) }),
    ],
  },
  {
    name: "Run and suspended microVMs are what they were after a restart",
    steps: [
      ...aSuspendedMicrovm(),
      { service: "restart" },
      is({ state: "SUSPENDED" }),
      { call: "ResumeMicrovm", input: theMicrovm, answer: {} },
      microvmIs("RUNNING"),
      { service: "restart" },
      is({}),
      pass(DAY),
      microvmIs("TERMINATED"),
    ],
  },
];
