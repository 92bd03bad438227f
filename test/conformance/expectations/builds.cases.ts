// Builds of versions.

import type { Case } from "../support/cases.ts";
import { aFailedUpdate, anImage, imageIs } from "./given.ts";
import { notFound } from "./refusals.ts";
import { build, FLASK, hourOf, imageVersion, REQUIRED } from "./shapes.ts";

const first = { imageIdentifier: FLASK, imageVersion: "1.0" };
const second = { imageIdentifier: FLASK, imageVersion: "2.0" };
const flask = { imageIdentifier: FLASK };
const FAILED = {
  state: "FAILED",
  status: "INACTIVE",
  versionStateTimeBucket: hourOf("FAILED"),
};
const SIZES = {
  memorySnapshotSizeInBytes: 1000,
  codeInstallSizeInBytes: 2000,
  diskSnapshotSizeInBytes: 30,
};

export const BUILD_CASES: readonly Case[] = [
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
];
