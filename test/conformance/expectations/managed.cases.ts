// The managed base images.

import type { Case } from "../support/cases.ts";
import { epoch } from "../support/match.ts";
import { invalid, noImage } from "./refusals.ts";
import { BASE, REGION, REQUIRED } from "./shapes.ts";

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

export const MANAGED_CASES: readonly Case[] = [
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
];
