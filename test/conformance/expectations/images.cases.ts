// Images: what is made, found and listed.

import type { Case } from "../support/cases.ts";
import { beginning, epoch, someText } from "../support/match.ts";
import { anImage, imageIs } from "./given.ts";
import { denied, invalid, noImage } from "./refusals.ts";
import {
  ABSENT,
  ACCOUNT,
  createdImage,
  FLASK,
  image,
  imageArn,
  imageSummary,
  imageVersion,
  INTERNET_EGRESS,
  OTHER_ACCOUNT,
  REQUIRED,
} from "./shapes.ts";

const flask = { imageIdentifier: FLASK };
const create = { name: "flask", ...REQUIRED };
const elsewhere = imageArn("flask", { account: OTHER_ACCOUNT });

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
/** As it is echoed: what was left out within it is null. */
const RICH_ECHO = {
  ...RICH,
  baseImageVersion: "0.0",
  logging: { cloudWatch: { logGroup: "/aws/lambda-microvms/flask", logStream: null } },
  hooks: {
    port: 9000,
    microvmHooks: {
      run: "ENABLED",
      runTimeoutInSeconds: 60,
      resume: null,
      resumeTimeoutInSeconds: null,
      suspend: null,
      suspendTimeoutInSeconds: null,
      terminate: null,
      terminateTimeoutInSeconds: null,
    },
    microvmImageHooks: {
      ready: "ENABLED",
      readyTimeoutInSeconds: 3600,
      validate: null,
      validateTimeoutInSeconds: null,
    },
  },
};

export const IMAGE_CASES: readonly Case[] = [
  {
    name: "CreateMicrovmImage answers 201 with every member, defaults filled in",
    steps: [
      { call: "CreateMicrovmImage", input: create, answer: createdImage() },
      imageIs("CREATED"),
      { call: "GetMicrovmImage", input: flask, answer: image() },
    ],
  },
  {
    name: "CreateMicrovmImage echoes the whole configuration, and nulls within it",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { ...create, ...RICH, baseImageVersion: "0" },
        answer: createdImage(RICH_ECHO),
      },
      imageIs("CREATED"),
      {
        call: "GetMicrovmImageVersion",
        input: { ...flask, imageVersion: "1.0" },
        answer: imageVersion(RICH_ECHO),
      },
    ],
  },
  {
    name: "CreateMicrovmImage echoes logging that is disabled",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { ...create, logging: { disabled: {} } },
        answer: createdImage({ logging: { disabled: {} } }),
      },
    ],
  },
  {
    name: "CreateMicrovmImage answers null tags that GetMicrovmImage has",
    steps: [
      {
        call: "CreateMicrovmImage",
        input: { ...create, tags: { team: "web", "aws-like:key": "" } },
        answer: createdImage(),
      },
      imageIs("CREATED"),
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({ tags: { team: "web", "aws-like:key": "" } }),
      },
    ],
  },
  {
    name: "CreateMicrovmImage refuses a name in use, also while its image is DELETING",
    steps: [
      ...anImage(),
      {
        call: "CreateMicrovmImage",
        input: create,
        refusal: invalid("A MicroVM image with the name 'flask' already exists in this account"),
      },
      { call: "GetMicrovmImage", input: flask, answer: image() },
      { host: "hold", call: "removeImage" },
      { call: "DeleteMicrovmImage", input: flask },
      {
        call: "CreateMicrovmImage",
        input: create,
        refusal: invalid("A MicroVM image with the name 'flask' already exists in this account"),
      },
    ],
  },
  {
    name: "GetMicrovmImage has neither configuration nor failure reason while the first build fails",
    steps: [
      {
        host: "fail",
        call: "build",
        failure: { code: "BUILD_FAILED", message: "The container image build failed." },
      },
      { call: "CreateMicrovmImage", input: create },
      imageIs("CREATE_FAILED"),
      {
        call: "GetMicrovmImage",
        input: flask,
        answer: image({
          state: "CREATE_FAILED",
          latestActiveImageVersion: null,
          latestFailedImageVersion: "1.0",
        }),
      },
    ],
  },
  {
    name: "GetMicrovmImage answers 404 for an image that does not exist",
    steps: [
      { call: "GetMicrovmImage", input: { imageIdentifier: ABSENT }, refusal: noImage(ABSENT) },
    ],
  },
  {
    name: "Image operations take no bare name",
    steps: [
      ...anImage(),
      ...(["GetMicrovmImage", "DeleteMicrovmImage", "ListMicrovmImageVersions"] as const).map(
        (call) => ({
          call,
          input: { imageIdentifier: "flask" },
          refusal: invalid("Invalid ARN format: flask"),
        }),
      ),
      {
        call: "UpdateMicrovmImage",
        input: { ...REQUIRED, imageIdentifier: "flask" },
        refusal: invalid("Invalid ARN format: flask"),
      },
    ],
  },
  {
    name: "Image operations deny the slash spelling, naming action and resource",
    steps: [
      ...anImage(),
      {
        call: "GetMicrovmImage",
        input: { imageIdentifier: "microvm-image/flask" },
        refusal: denied(
          beginning(
            `User: arn:aws:iam::${ACCOUNT}:root is not authorized to perform: lambda:GetMicrovmImage on resource: arn:aws:lambda:us-east-1:${ACCOUNT}:microvm-image/flask`,
          ),
        ),
      },
    ],
  },
  {
    name: "Image operations deny an image of another account, the text under Message",
    steps: [
      { call: "GetMicrovmImage", input: { imageIdentifier: elsewhere }, refusal: denied(someText) },
      {
        call: "DeleteMicrovmImage",
        input: { imageIdentifier: elsewhere },
        refusal: denied(someText),
      },
    ],
  },
  {
    name: "Accounts and regions have images of their own",
    steps: [
      ...anImage(),
      {
        call: "ListMicrovmImages",
        as: "other",
        answer: { items: [], nextToken: null },
      },
      { call: "ListMicrovmImages", region: "eu-west-1", answer: { items: [], nextToken: null } },
      {
        call: "CreateMicrovmImage",
        as: "other",
        input: create,
        answer: createdImage({ imageArn: elsewhere }),
      },
    ],
  },
  {
    name: "ListMicrovmImages has seven members an item and ends with a null token",
    steps: [
      ...anImage({ tags: { team: "web" } }),
      {
        call: "ListMicrovmImages",
        answer: { items: [imageSummary({ createdAt: epoch })], nextToken: null },
      },
    ],
  },
];
