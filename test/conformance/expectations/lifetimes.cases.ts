// What becomes of microVMs by themselves: with time, by hooks, and over a restart of the service.

import type { Case, Step } from "../support/cases.ts";
import { epoch, matching, someText } from "../support/match.ts";
import {
  aLaunch,
  aMicrovm,
  anImage,
  aSuspendedMicrovm,
  aTerminatedMicrovm,
  microvmIs,
  theMicrovm,
} from "./given.ts";
import { notFound } from "./refusals.ts";
import { microvm } from "./shapes.ts";

const BY_ID = { microvmIdentifier: "<microvmId>" };
const HOUR = 3600;
const DAY = 24 * HOUR;

type Members = Parameters<typeof microvm>[0];
const is = (changes: Members): Step => ({
  call: "GetMicrovm",
  input: BY_ID,
  answer: microvm({
    microvmId: "<microvmId>",
    endpoint: "<endpoint>",
    startedAt: "<startedAt>",
    ...changes,
  }),
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

export const LIFETIME_CASES: readonly Case[] = [
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
    name: "A microVM that cannot be started is TERMINATED, saying why",
    steps: [
      ...anImage(),
      {
        host: "fail",
        call: "run",
        failure: { code: "VMM_FAILED", message: "vmm exited before the agent answered" },
      },
      aLaunch(),
      microvmIs("TERMINATED"),
      terminated({ stateReason: someText }),
    ],
  },
  {
    name: "A resume hook that does not answer 200 leaves the microVM SUSPENDED",
    steps: [
      ...anImage(hooks("resume")),
      aLaunch(),
      microvmIs("RUNNING"),
      { call: "SuspendMicrovm", input: theMicrovm },
      microvmIs("SUSPENDED"),
      hookAnswers(500),
      { call: "ResumeMicrovm", input: theMicrovm, answer: {} },
      {
        until: "GetMicrovm",
        input: theMicrovm,
        has: [
          "stateReason",
          "Resume lifecycle hook returned HTTP status 500. Please check your hook endpoint and application logs for more details.",
        ],
      },
      is({ state: "SUSPENDED", stateReason: someText }),
      { call: "ResumeMicrovm", input: theMicrovm, answer: {} },
      microvmIs("RUNNING"),
      is({}),
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
