// Versions of images, their builds, and the managed base images.

import type { Case } from "../support/cases.ts";
import { epoch, matching, uuid } from "../support/match.ts";
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
  BASE,
  build,
  FLASK,
  image,
  imageArn,
  imageVersion,
  microvm,
  REGION,
  REQUIRED,
} from "./shapes.ts";

const first = { imageIdentifier: FLASK, imageVersion: "1.0" };
const second = { imageIdentifier: FLASK, imageVersion: "2.0" };
const flask = { imageIdentifier: FLASK };
const FAILED = {
  state: "FAILED",
  status: "INACTIVE",
  versionStateTimeBucket: matching(/^FAILED#\d{8}$/),
};
const SIZES = {
  memorySnapshotSizeInBytes: 1000,
  codeInstallSizeInBytes: 2000,
  diskSnapshotSizeInBytes: 30,
};
const managed = (name: string) => `arn:aws:lambda:${REGION}:aws:microvm-image:${name}`;
const managedImage = (name: string) => ({
  imageArn: managed(name),
  createdAt: epoch,
  updatedAt: epoch,
});
const managedVersion = (imageVersion: string, status = "AVAILABLE") => ({
  ...managedImage("al2023-1"),
  imageVersion,
  status,
});

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
          versionStateTimeBucket: matching(/^IN_PROGRESS#\d{8}$/),
        }),
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
    name: "A failed version says nothing of why in stateReason; its build does",
    steps: [
      ...anImage(),
      ...aFailedUpdate(),
      {
        call: "GetMicrovmImageVersion",
        input: second,
        answer: imageVersion({ ...FAILED, imageVersion: "2.0" }),
      },
      {
        call: "ListMicrovmImageBuilds",
        input: second,
        answer: {
          items: [
            build({
              imageVersion: "2.0",
              buildState: "FAILED",
              stateReason: "The container image build failed.",
            }),
          ],
          nextToken: null,
        },
      },
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
    name: "ListMicrovmImageBuilds takes the version with or without its zero, and filters by target",
    steps: [
      ...anImage(),
      ...["1", "1.0"].map((imageVersion) => ({
        call: "ListMicrovmImageBuilds" as const,
        input: { ...flask, imageVersion },
        answer: { items: [build()], nextToken: null },
      })),
      {
        call: "ListMicrovmImageBuilds",
        input: { ...first, architecture: "X86_64", chipset: "GENERIC", chipsetGeneration: "1" },
        answer: { items: [build()], nextToken: null },
      },
      {
        call: "ListMicrovmImageBuilds",
        input: { ...first, architecture: "ARM_64" },
        answer: { items: [], nextToken: null },
      },
    ],
  },
  {
    name: "GetMicrovmImageBuild adds the three sizes of a build that succeeded",
    steps: [
      ...anImage(),
      { call: "ListMicrovmImageBuilds", input: first, keep: { buildId: "items.0.buildId" } },
      {
        call: "GetMicrovmImageBuild",
        input: { ...first, buildId: "<buildId>" },
        answer: build({ snapshotBuild: SIZES }),
      },
    ],
  },
  {
    name: "GetMicrovmImageBuild of a container that was never built has no sizes, of a hook that timed out one",
    steps: [
      ...anImage(),
      ...aFailedUpdate(),
      { call: "ListMicrovmImageBuilds", input: second, keep: { buildId: "items.0.buildId" } },
      {
        call: "GetMicrovmImageBuild",
        input: { ...second, buildId: "<buildId>" },
        answer: build({
          imageVersion: "2.0",
          buildState: "FAILED",
          stateReason: "The container image build failed.",
          snapshotBuild: null,
        }),
      },
      {
        host: "fail",
        call: "build",
        failure: {
          code: "BUILD_FAILED",
          message: "Ready hook invocation timed out after PT5M",
          details: { codeInstallSizeInBytes: 2000 },
        },
      },
      { call: "UpdateMicrovmImage", input: { ...flask, ...REQUIRED } },
      imageIs("UPDATE_FAILED"),
      {
        call: "ListMicrovmImageBuilds",
        input: { ...flask, imageVersion: "3.0" },
        keep: { buildId: "items.0.buildId" },
      },
      {
        call: "GetMicrovmImageBuild",
        input: { ...flask, imageVersion: "3.0", buildId: "<buildId>" },
        answer: build({
          imageVersion: "3.0",
          buildState: "FAILED",
          stateReason: "Ready hook invocation timed out after PT5M",
          snapshotBuild: {
            memorySnapshotSizeInBytes: null,
            codeInstallSizeInBytes: 2000,
            diskSnapshotSizeInBytes: null,
          },
        }),
      },
    ],
  },
  {
    name: "GetMicrovmImageBuild answers 404 for a build that does not exist",
    steps: [
      ...anImage(),
      {
        call: "GetMicrovmImageBuild",
        input: { ...first, buildId: "b" },
        refusal: notFound(
          `MicroVMImageBuild not found for MicroVMImage: ${FLASK}, Version: 1.0, BuildID: b`,
        ),
      },
    ],
  },
  {
    name: "Builds go on after a restart",
    steps: [
      { host: "hold", call: "build" },
      { call: "CreateMicrovmImage", input: { name: "flask", ...REQUIRED } },
      { until: "GetMicrovmImageVersion", input: first, has: ["state", "IN_PROGRESS"] },
      { service: "restart" },
      imageIs("CREATED"),
      { call: "GetMicrovmImageVersion", input: first, answer: imageVersion() },
    ],
  },
  {
    name: "ListManagedMicrovmImages has three members an item",
    steps: [
      {
        call: "ListManagedMicrovmImages",
        answer: {
          items: [managedImage("al2023-1"), managedImage("debian-12")],
          nextToken: null,
        },
      },
      {
        call: "ListManagedMicrovmImages",
        as: "other",
        region: "eu-west-1",
        answer: {
          items: [
            {
              ...managedImage("al2023-1"),
              imageArn: "arn:aws:lambda:eu-west-1:aws:microvm-image:al2023-1",
            },
            {
              ...managedImage("debian-12"),
              imageArn: "arn:aws:lambda:eu-west-1:aws:microvm-image:debian-12",
            },
          ],
          nextToken: null,
        },
      },
    ],
  },
  {
    name: "ListManagedMicrovmImageVersions has bare integers, newest first",
    steps: [
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: BASE },
        answer: { items: [managedVersion("1"), managedVersion("0")], nextToken: null },
      },
    ],
  },
  {
    name: "ListManagedMicrovmImageVersions tells versions that are DEPRECATED",
    service: {
      managedImages: {
        "al2023-1": { base: "debian-12", versions: { "1": "AVAILABLE", "0": "DEPRECATED" } },
      },
    },
    steps: [
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: BASE },
        answer: {
          items: [managedVersion("1"), managedVersion("0", "DEPRECATED")],
          nextToken: null,
        },
      },
      {
        call: "CreateMicrovmImage",
        input: { name: "flask", ...REQUIRED, baseImageVersion: "0" },
      },
    ],
  },
  {
    name: "ListManagedMicrovmImageVersions answers 404 for a managed image that does not exist, 400 for no ARN",
    steps: [
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: managed("al2099") },
        refusal: noImage(managed("al2099")),
      },
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: "al2023-1" },
        refusal: invalid("Invalid ARN format: al2023-1"),
      },
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
