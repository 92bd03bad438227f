// Versions of images.

import type { Case } from "../support/cases.ts";
import { uuid } from "../support/match.ts";
import {
  aFailedUpdate,
  aLaunch,
  aMicrovm,
  anImage,
  anUpdate,
  imageIs,
  microvmIs,
  theMicrovm,
} from "./given.ts";
import { conflict, invalid, noImage, notFound, noVersion } from "./refusals.ts";
import {
  ABSENT,
  build,
  FLASK,
  hourOf,
  image,
  imageArn,
  imageVersion,
  microvm,
  REQUIRED,
} from "./shapes.ts";

const first = { imageIdentifier: FLASK, imageVersion: "1.0" };
const second = { imageIdentifier: FLASK, imageVersion: "2.0" };
const flask = { imageIdentifier: FLASK };
const FAILED = {
  state: "FAILED",
  status: "INACTIVE",
  versionStateTimeBucket: hourOf("FAILED"),
};

export const VERSION_CASES: readonly Case[] = [
  {
    name: "GetMicrovmImageVersion has the configuration, state and status, and its hour",
    steps: [...anImage(), { call: "GetMicrovmImageVersion", input: first, answer: imageVersion() }],
  },
  {
    name: "A version that is built is IN_PROGRESS and INACTIVE, and becomes ACTIVE by itself",
    steps: [
      { host: "hold", call: "build" },
      { call: "CreateMicrovmImage", input: { name: "flask", ...REQUIRED } },
      { until: "GetMicrovmImageVersion", input: first, has: ["state", "IN_PROGRESS"] },
      {
        call: "GetMicrovmImageVersion",
        input: first,
        answer: imageVersion({
          state: "IN_PROGRESS",
          status: "INACTIVE",
          versionStateTimeBucket: hourOf("IN_PROGRESS"),
        }),
      },
      {
        call: "ListMicrovmImageBuilds",
        input: first,
        answer: { items: [build({ buildState: "IN_PROGRESS" })], nextToken: null },
      },
      {
        call: "RunMicrovm",
        input: flask,
        refusal: notFound(`No active version found for MicroVM image ${FLASK}`),
      },
      { host: "release", call: "build" },
      imageIs("CREATED"),
      { call: "GetMicrovmImageVersion", input: first, answer: imageVersion() },
    ],
  },
  {
    name: "Version operations answer 404 for an image or a version that does not exist",
    steps: [
      ...anImage(),
      {
        call: "GetMicrovmImageVersion",
        input: { ...flask, imageVersion: "9.0" },
        refusal: noVersion(FLASK, "9.0"),
      },
      {
        call: "GetMicrovmImageVersion",
        input: { imageIdentifier: ABSENT, imageVersion: "1.0" },
        refusal: noImage(ABSENT),
      },
      {
        call: "UpdateMicrovmImageVersion",
        input: { ...flask, imageVersion: "9.0", status: "ACTIVE" },
        refusal: noVersion(FLASK, "9.0"),
      },
      {
        call: "DeleteMicrovmImageVersion",
        input: { ...flask, imageVersion: "9.0" },
        refusal: noVersion(FLASK, "9.0"),
      },
      {
        call: "ListMicrovmImageVersions",
        input: { imageIdentifier: ABSENT },
        refusal: noImage(ABSENT),
      },
      {
        call: "ListMicrovmImageBuilds",
        input: { ...flask, imageVersion: "9.0" },
        refusal: noVersion(FLASK, "9.0"),
      },
    ],
  },
  {
    name: "ListMicrovmImageVersions has items in the full shape",
    steps: [
      ...anImage(),
      ...aFailedUpdate(),
      {
        call: "ListMicrovmImageVersions",
        input: flask,
        answer: {
          items: [imageVersion({ ...FAILED, imageVersion: "2.0" }), imageVersion()],
          nextToken: null,
        },
      },
    ],
  },
  {
    name: "UpdateMicrovmImageVersion switches a version off and on; only ACTIVE ones are run",
    steps: [
      ...anImage(),
      ...anUpdate(),
      {
        call: "UpdateMicrovmImageVersion",
        input: { ...second, status: "INACTIVE" },
        answer: imageVersion({ imageVersion: "2.0", status: "INACTIVE" }),
      },
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ state: "UPDATED", latestActiveImageVersion: "1.0" }),
      },
      { call: "RunMicrovm", input: flask, answer: microvm({ state: "PENDING" }) },
      {
        call: "RunMicrovm",
        input: second,
        refusal: notFound(`No active version found for MicroVM image ${FLASK} and version 2.0`),
      },
      { call: "UpdateMicrovmImageVersion", input: { ...first, status: "INACTIVE" } },
      {
        call: "RunMicrovm",
        input: flask,
        refusal: notFound(`No active version found for MicroVM image ${FLASK}`),
      },
      {
        call: "UpdateMicrovmImageVersion",
        input: { ...second, status: "ACTIVE" },
        answer: imageVersion({ imageVersion: "2.0" }),
      },
      {
        call: "RunMicrovm",
        input: flask,
        answer: microvm({ state: "PENDING", imageVersion: "2.0" }),
      },
    ],
  },
  {
    name: "UpdateMicrovmImageVersion leaves microVMs of the version alone",
    steps: [
      ...aMicrovm(),
      { call: "UpdateMicrovmImageVersion", input: { ...first, status: "INACTIVE" } },
      { call: "GetMicrovm", input: theMicrovm, answer: microvm() },
    ],
  },
  {
    name: "UpdateMicrovmImageVersion answers 409 while the image is UPDATING",
    steps: [
      ...anImage(),
      { host: "hold", call: "build" },
      { call: "UpdateMicrovmImage", input: { ...flask, ...REQUIRED } },
      {
        call: "UpdateMicrovmImageVersion",
        input: { ...first, status: "INACTIVE" },
        refusal: conflict("MicroVM Image is already in state: UPDATING"),
      },
    ],
  },
  {
    name: "DeleteMicrovmImageVersion answers DELETING; the image is UPDATING until it is gone",
    steps: [
      ...anImage(),
      ...anUpdate(),
      { host: "hold", call: "removeImage" },
      {
        call: "DeleteMicrovmImageVersion",
        input: first,
        answer: { ...first, state: "DELETING" },
      },
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ state: "UPDATING", latestActiveImageVersion: "2.0" }),
      },
      { host: "release", call: "removeImage" },
      imageIs("UPDATED"),
      { call: "GetMicrovmImageVersion", input: first, refusal: noVersion(FLASK, "1.0") },
    ],
  },
  {
    name: "A version whose files cannot be removed is DELETE_FAILED, and can be deleted again",
    steps: [
      ...anImage(),
      ...anUpdate(),
      {
        host: "fail",
        call: "removeImage",
        failure: { code: "STORAGE_FULL", message: "Cannot remove the files" },
      },
      { call: "DeleteMicrovmImageVersion", input: first },
      { until: "GetMicrovmImageVersion", input: first, has: ["state", "DELETE_FAILED"] },
      imageIs("UPDATED"),
      {
        call: "DeleteMicrovmImageVersion",
        input: first,
        answer: { ...first, state: "DELETING" },
      },
      { until: "GetMicrovmImageVersion", input: first, has: "refused" },
    ],
  },
  {
    name: "DeleteMicrovmImageVersion refuses the last version",
    steps: [
      ...anImage(),
      {
        call: "DeleteMicrovmImageVersion",
        input: first,
        refusal: invalid("This is the last version. Please delete the entire image"),
      },
    ],
  },
  {
    name: "DeleteMicrovmImageVersion refuses a version with live microVMs",
    steps: [
      ...anImage(),
      ...anUpdate(),
      aLaunch({ imageVersion: "1.0" }),
      microvmIs("RUNNING"),
      {
        call: "DeleteMicrovmImageVersion",
        input: first,
        refusal: invalid("Cannot delete microvm image version with running microvms."),
      },
      { call: "TerminateMicrovm", input: theMicrovm },
      microvmIs("TERMINATED"),
      { call: "DeleteMicrovmImageVersion", input: first },
    ],
  },
  {
    name: "Deleting an image deletes all its versions",
    steps: [
      ...anImage(),
      ...anUpdate(),
      { call: "DeleteMicrovmImage", input: flask },
      { until: "GetMicrovmImage", input: flask, has: "refused" },
      ...anImage(),
      {
        call: "ListMicrovmImageVersions",
        input: flask,
        answer: { items: [imageVersion()], nextToken: null },
      },
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ imageArn: imageArn("flask"), id: uuid }),
      },
    ],
  },
];
