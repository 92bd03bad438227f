// Client tokens.

import type { Case } from "../support/cases.ts";
import { anImage, aMicrovm, imageIs, microvmIs, theMicrovm } from "./given.ts";
import { conflict } from "./refusals.ts";
import {
  createdImage,
  FLASK,
  image,
  imageArn,
  microvm,
  OTHER_ACCOUNT,
  REQUIRED,
  updatedImage,
} from "./shapes.ts";

const flask = { imageIdentifier: FLASK };
const launch = { ...flask, clientToken: "launch-1" };
const create = { name: "flask", ...REQUIRED, clientToken: "create-1" };
const replace = { ...flask, ...REQUIRED, clientToken: "update-1" };
const USED = conflict("The provided clientToken was used with different request parameters");
const SAME = { microvmId: "<microvmId>", endpoint: "<endpoint>" };
const KEPT = { microvmId: "microvmId", endpoint: "endpoint" };

export const IDEMPOTENCY_CASES: readonly Case[] = [
  {
    name: "RunMicrovm with the same token and parameters answers the original, whatever became of it",
    steps: [
      ...anImage(),
      { call: "RunMicrovm", input: launch, keep: KEPT },
      microvmIs("RUNNING"),
      { call: "RunMicrovm", input: launch, answer: microvm(SAME) },
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATED"),
      { call: "RunMicrovm", input: launch, keep: { again: "microvmId", state: "state" } },
      {
        until: "GetMicrovm",
        input: { microvmIdentifier: "<again>" },
        has: ["state", "TERMINATED"],
      },
      {
        call: "ListMicrovms",
        answer: {
          items: [
            {
              microvmId: "<microvmId>",
              state: "TERMINATED",
              imageArn: FLASK,
              imageVersion: "1.0",
              startedAt: microvm()["startedAt"] ?? null,
            },
          ],
          nextToken: null,
        },
      },
    ],
  },
  {
    name: "RunMicrovm forgets a token with its microVM, a day after the end",
    steps: [
      ...anImage(),
      { call: "RunMicrovm", input: launch, keep: KEPT },
      microvmIs("RUNNING"),
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATED"),
      { service: "pass", seconds: 25 * 3600 },
      { until: "GetMicrovm", input: theMicrovm, has: "refused" },
      { call: "RunMicrovm", input: launch, answer: microvm({ state: "PENDING" }) },
    ],
  },
  {
    name: "RunMicrovm with the same token and other parameters answers 409",
    steps: [
      ...anImage(),
      { call: "RunMicrovm", input: launch, keep: KEPT },
      {
        call: "RunMicrovm",
        input: { ...launch, maximumDurationInSeconds: 60 },
        refusal: USED,
      },
      microvmIs("RUNNING"),
    ],
  },
  {
    name: "RunMicrovm remembers tokens after a restart",
    steps: [
      ...anImage(),
      { call: "RunMicrovm", input: launch, keep: KEPT },
      microvmIs("RUNNING"),
      { service: "restart" },
      { call: "RunMicrovm", input: launch, answer: microvm(SAME) },
      { call: "RunMicrovm", input: { ...launch, imageVersion: "1.0" }, refusal: USED },
    ],
  },
  {
    name: "Client tokens are an account's own, and an operation's",
    steps: [
      ...anImage(),
      { call: "CreateMicrovmImage", as: "other", input: create },
      { call: "RunMicrovm", input: { ...flask, clientToken: "create-1" }, keep: KEPT },
      {
        call: "UpdateMicrovmImage",
        input: { ...replace, clientToken: "create-1" },
        answer: updatedImage(),
      },
      {
        until: "GetMicrovmImage",
        input: flask,
        has: ["state", "UPDATED"],
      },
      {
        call: "CreateMicrovmImage",
        as: "other",
        input: { ...create, name: "second" },
        refusal: USED,
      },
      {
        call: "GetMicrovmImage",
        as: "other",
        input: { imageIdentifier: imageArn("second", { account: OTHER_ACCOUNT }) },
        refusal: {
          status: 404,
          type: "ResourceNotFoundException",
          body: {
            message: `MicroVMImage not found for MicroVMImageID: ${imageArn("second", { account: OTHER_ACCOUNT })}`,
            resourceId: null,
            resourceType: null,
          },
        },
      },
    ],
  },
  {
    name: "Without tokens every RunMicrovm is a new one",
    steps: [
      ...aMicrovm(),
      { call: "RunMicrovm", input: flask, answer: microvm({ state: "PENDING" }) },
      {
        until: "ListMicrovms",
        input: {},
        has: ["items.1.state", "RUNNING"],
      },
    ],
  },
  {
    name: "CreateMicrovmImage with the same token answers the original, with other parameters 409",
    steps: [
      { call: "CreateMicrovmImage", input: create, answer: createdImage() },
      imageIs("CREATED"),
      {
        call: "CreateMicrovmImage",
        input: create,
        answer: createdImage({ state: "CREATED", latestActiveImageVersion: "1.0" }),
      },
      { call: "CreateMicrovmImage", input: { ...create, description: "other" }, refusal: USED },
      { service: "restart" },
      { call: "CreateMicrovmImage", input: { ...create, description: "other" }, refusal: USED },
      { call: "GetMicrovmImage", input: flask, answer: image() },
    ],
  },
  {
    name: "CreateMicrovmImage makes a new image when that of the token is gone",
    steps: [
      { call: "CreateMicrovmImage", input: create },
      imageIs("CREATED"),
      { call: "DeleteMicrovmImage", input: flask },
      { until: "GetMicrovmImage", input: flask, has: "refused" },
      { call: "CreateMicrovmImage", input: create, answer: createdImage() },
      imageIs("CREATED"),
    ],
  },
  {
    name: "UpdateMicrovmImage with the same token makes one version, with other parameters 409",
    steps: [
      ...anImage(),
      { call: "UpdateMicrovmImage", input: replace, answer: updatedImage() },
      imageIs("UPDATED"),
      {
        call: "UpdateMicrovmImage",
        input: replace,
        answer: updatedImage({ state: "UPDATED", latestActiveImageVersion: "2.0" }),
      },
      { call: "UpdateMicrovmImage", input: { ...replace, description: "other" }, refusal: USED },
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ state: "UPDATED", latestActiveImageVersion: "2.0" }),
      },
    ],
  },
];
