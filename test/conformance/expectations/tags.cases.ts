// Tags of images and network connectors.

import type { Case } from "../support/cases.ts";
import { beginning, someText } from "../support/match.ts";
import { anImage } from "./given.ts";
import { denied, invalid, noImage } from "./refusals.ts";
import { ABSENT, ACCOUNT, FLASK, image, imageArn, imageVersion, OTHER_ACCOUNT } from "./shapes.ts";

const flask = { Resource: FLASK };
const fifty = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`k${index}`, "v"]));

export const TAG_CASES: readonly Case[] = [
  {
    name: "TagResource answers 204 and merges, UntagResource 204 whether the keys are there or not",
    steps: [
      ...anImage({ tags: { a: "1", b: "2" } }),
      { call: "TagResource", input: { ...flask, Tags: { b: "3", c: "" } } },
      { call: "ListTags", input: flask, answer: { Tags: { a: "1", b: "3", c: "" } } },
      { call: "UntagResource", input: { ...flask, TagKeys: ["a", "absent"] } },
      { call: "ListTags", input: flask, answer: { Tags: { b: "3", c: "" } } },
      { call: "UntagResource", input: { ...flask, TagKeys: ["a"] } },
      {
        call: "GetMicrovmImage",
        input: { imageIdentifier: FLASK },
        answer: image({ tags: { b: "3", c: "" } }),
      },
    ],
  },
  {
    name: "ListTags answers an empty object when there are none",
    steps: [...anImage(), { call: "ListTags", input: flask, answer: { Tags: {} } }],
  },
  {
    name: "TagResource makes no version of an image",
    steps: [
      ...anImage(),
      { call: "TagResource", input: { ...flask, Tags: { a: "1" } } },
      {
        call: "ListMicrovmImageVersions",
        input: { imageIdentifier: FLASK },
        answer: { items: [imageVersion()], nextToken: null },
      },
    ],
  },
  {
    name: "Tag operations answer 404 for an image that does not exist",
    steps: [
      { call: "ListTags", input: { Resource: ABSENT }, refusal: noImage(ABSENT) },
      {
        call: "TagResource",
        input: { Resource: ABSENT, Tags: { a: "1" } },
        refusal: noImage(ABSENT),
      },
      {
        call: "UntagResource",
        input: { Resource: ABSENT, TagKeys: ["a"] },
        refusal: noImage(ABSENT),
      },
    ],
  },
  {
    name: "Tag operations deny the image of another account",
    steps: [
      {
        call: "ListTags",
        input: { Resource: imageArn("flask", { account: OTHER_ACCOUNT }) },
        refusal: denied(someText),
      },
    ],
  },
  {
    name: "A microVM has no tags: its ARN does not match",
    steps: [
      {
        call: "ListTags",
        input: { Resource: `arn:aws:lambda:us-east-1:${ACCOUNT}:microvm:microvm-1` },
        refusal: invalid(
          beginning(
            `1 validation error detected: Value 'arn:aws:lambda:us-east-1:${ACCOUNT}:microvm:microvm-1' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: `,
          ),
        ),
      },
    ],
  },
  {
    name: "A resource has fifty tags at most",
    steps: [
      ...anImage({ tags: fifty }),
      {
        call: "TagResource",
        input: { ...flask, Tags: { another: "v" } },
        refusal: {
          status: 400,
          type: "InvalidParameterValueException",
          body: { Type: "User", message: someText },
        },
      },
      { call: "TagResource", input: { ...flask, Tags: { k0: "changed" } } },
    ],
  },
];
