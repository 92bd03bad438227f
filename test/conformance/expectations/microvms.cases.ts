// MicroVMs that were launched: found, listed, suspended, resumed and terminated.

import type { Case, Step } from "../support/cases.ts";
import { epoch, oneOf } from "../support/match.ts";
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
];
