// Images: what is replaced and removed, and how many there may be.

import type { Case, Step } from "../support/cases.ts";
import { beginning } from "../support/match.ts";
import { aFailedUpdate, aMicrovm, anImage, anUpdate, imageIs, theMicrovm } from "./given.ts";
import { conflict, invalid, noImage, overQuota } from "./refusals.ts";
import {
  ABSENT,
  createdImage,
  FLASK,
  image,
  imageSummary,
  INTERNET_EGRESS,
  REQUIRED,
  updatedImage,
} from "./shapes.ts";

const flask = { imageIdentifier: FLASK };
const create = { name: "flask", ...REQUIRED };
const replace = { ...flask, ...REQUIRED };

const RICH = {
  description: "A web application",
  logging: { cloudWatch: { logGroup: "/aws/lambda-microvms/flask" } },
  egressNetworkConnectors: [INTERNET_EGRESS],
  cpuConfigurations: [{ architecture: "X86_64" }],
  resources: [{ minimumMemoryInMiB: 512 }],
  additionalOsCapabilities: ["ALL"],
  hooks: {
    port: 9000,
    microvmHooks: { run: "ENABLED", runTimeoutInSeconds: 60 },
    microvmImageHooks: { ready: "ENABLED", readyTimeoutInSeconds: 3600 },
  },
  environmentVariables: { GREETING: "hello" },
};

const NOT_REMOVED: Step = {
  host: "fail",
  call: "removeImage",
  failure: { code: "STORAGE_FULL", message: "Cannot remove the files" },
};

export const IMAGE_CHANGE_CASES: readonly Case[] = [
  {
    name: "UpdateMicrovmImage answers the next version while the old one stays the active one",
    steps: [
      ...anImage(),
      { call: "UpdateMicrovmImage", input: replace, answer: updatedImage() },
      imageIs("UPDATED"),
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ state: "UPDATED", latestActiveImageVersion: "2.0" }),
      },
    ],
  },
  {
    name: "UpdateMicrovmImage replaces everything: what is left out gets its default",
    steps: [
      ...anImage(RICH),
      { call: "UpdateMicrovmImage", input: replace, answer: updatedImage() },
    ],
  },
  {
    name: "UpdateMicrovmImage changes the memory",
    steps: [
      ...anImage(),
      {
        call: "UpdateMicrovmImage",
        input: { ...replace, resources: [{ minimumMemoryInMiB: 8192 }] },
        answer: updatedImage({ resources: [{ minimumMemoryInMiB: 8192 }] }),
      },
    ],
  },
  {
    name: "UpdateMicrovmImage leaves the active version in use when its build fails",
    steps: [
      ...anImage(),
      ...aFailedUpdate(),
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ state: "UPDATE_FAILED", latestFailedImageVersion: "2.0" }),
      },
      ...anUpdate(),
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({
          state: "UPDATED",
          latestActiveImageVersion: "3.0",
          latestFailedImageVersion: "2.0",
        }),
      },
    ],
  },
  {
    name: "UpdateMicrovmImage is refused while the image is built",
    steps: [
      { host: "hold", call: "build" },
      { call: "CreateMicrovmImage", input: create },
      {
        call: "UpdateMicrovmImage",
        input: replace,
        refusal: invalid(beginning("Cannot update MicroVM Image in its current state")),
      },
    ],
  },
  {
    name: "UpdateMicrovmImage answers 404 for an image that does not exist",
    steps: [
      {
        call: "UpdateMicrovmImage",
        input: { ...REQUIRED, imageIdentifier: ABSENT },
        refusal: noImage(ABSENT),
      },
    ],
  },
  {
    name: "DeleteMicrovmImage answers DELETING; the image is listed until it is drained, then gone",
    steps: [
      ...anImage(),
      { host: "hold", call: "removeImage" },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        answer: { imageIdentifier: FLASK, state: "DELETING" },
      },
      {
        call: "ListMicrovmImages",
        answer: { items: [imageSummary({ state: "DELETING" })], nextToken: null },
      },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        answer: { imageIdentifier: FLASK, state: "DELETING" },
      },
      { host: "release", call: "removeImage" },
      { until: "GetMicrovmImage", input: flask, has: "refused" },
      { call: "GetMicrovmImage", input: flask, refusal: noImage(FLASK) },
      {
        call: "ListMicrovmImageVersions",
        input: flask,
        refusal: noImage(FLASK),
      },
      { call: "CreateMicrovmImage", input: create, answer: createdImage() },
    ],
  },
  {
    name: "An image whose files cannot be removed is DELETE_FAILED, and can be deleted again",
    steps: [
      ...anImage(),
      NOT_REMOVED,
      { call: "DeleteMicrovmImage", input: flask },
      imageIs("DELETE_FAILED"),
      { call: "GetMicrovmImage", input: flask, answer: image({ state: "DELETE_FAILED" }) },
      { call: "DeleteMicrovmImage", input: flask },
      { until: "GetMicrovmImage", input: flask, has: "refused" },
    ],
  },
  {
    name: "DeleteMicrovmImage is refused during the first build",
    steps: [
      { host: "hold", call: "build" },
      { call: "CreateMicrovmImage", input: create },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        refusal: invalid(`Cannot delete MicroVM image in its current state: ${FLASK}`),
      },
    ],
  },
  {
    name: "DeleteMicrovmImage is refused with live microVMs, TERMINATING ones among them",
    steps: [
      ...aMicrovm(),
      {
        call: "DeleteMicrovmImage",
        input: flask,
        refusal: invalid("Cannot delete microvm image with running microvms."),
      },
      { host: "hold", call: "terminate" },
      { call: "TerminateMicrovm", input: theMicrovm },
      { until: "GetMicrovm", input: theMicrovm, has: ["state", "TERMINATING"] },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        refusal: invalid("Cannot delete microvm image with running microvms."),
      },
      { host: "release", call: "terminate" },
      { until: "GetMicrovm", input: theMicrovm, has: ["state", "TERMINATED"] },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        answer: { imageIdentifier: FLASK, state: "DELETING" },
      },
    ],
  },
  {
    name: "DeleteMicrovmImage is refused while a version is deleted",
    steps: [
      ...anImage(),
      ...anUpdate(),
      { host: "hold", call: "removeImage" },
      { call: "DeleteMicrovmImageVersion", input: { ...flask, imageVersion: "1.0" } },
      {
        call: "DeleteMicrovmImage",
        input: flask,
        refusal: invalid(`Cannot delete MicroVM image in its current state: ${FLASK}`),
      },
      {
        call: "UpdateMicrovmImageVersion",
        input: { ...flask, imageVersion: "2.0", status: "INACTIVE" },
        refusal: conflict("MicroVM Image is already in state: UPDATING"),
      },
    ],
  },
  {
    name: "DeleteMicrovmImage answers 404 for an image that does not exist",
    steps: [
      { call: "DeleteMicrovmImage", input: { imageIdentifier: ABSENT }, refusal: noImage(ABSENT) },
    ],
  },
  {
    name: "Quotas of images, versions and concurrent builds answer 402 with null members",
    service: { quotas: { images: 1, versionsPerImage: 2, concurrentBuilds: 1 } },
    steps: [
      ...anImage(),
      {
        call: "CreateMicrovmImage",
        input: { ...create, name: "second" },
        refusal: overQuota("The limit of MicroVM images has been reached for this account."),
      },
      ...aFailedUpdate(),
      {
        call: "UpdateMicrovmImage",
        input: replace,
        refusal: overQuota("The limit of versions has been reached for this MicroVM image."),
      },
      { call: "DeleteMicrovmImageVersion", input: { ...flask, imageVersion: "2.0" } },
      { until: "GetMicrovmImage", input: flask, has: ["latestFailedImageVersion", null] },
      ...anUpdate(),
    ],
  },
  {
    name: "Builds beyond the quota of concurrent ones answer 402",
    service: { quotas: { concurrentBuilds: 1 } },
    steps: [
      { host: "hold", call: "build" },
      { call: "CreateMicrovmImage", input: create },
      {
        call: "CreateMicrovmImage",
        input: { ...create, name: "second" },
        refusal: overQuota(
          "The limit of concurrent MicroVM image builds has been reached for this account.",
        ),
      },
    ],
  },
];
