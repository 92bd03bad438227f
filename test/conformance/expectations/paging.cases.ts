// Lists in pages.

import type { Case, Step } from "../support/cases.ts";
import { matching, oneOf } from "../support/match.ts";
import { anImage, aLaunch, anUpdate, microvmIs } from "./given.ts";
import { at, UNREADABLE, violates } from "./refusals.ts";
import { BASE, FLASK, imageArn, imageSummary, imageVersion, microvmItem } from "./shapes.ts";

const flask = { imageIdentifier: FLASK };
/** URL-safe base64, which needs no escapes in a query. */
const cursor = matching(/^[A-Za-z0-9_-]+={0,2}$/);
const more = { nextToken: "nextToken" };
const letters = [..."abcdefghijk"];
const TEN = letters.slice(0, 10);
const summaries = (names: readonly string[]) =>
  names.map((name) => imageSummary({ name, imageArn: imageArn(name) }));
const ELEVEN: readonly Step[] = letters.flatMap((name) => anImage({ name }));

const BADLY_SIZED = [
  ["ListMicrovmImages", {}],
  ["ListMicrovmImageVersions", flask],
  ["ListMicrovmImageBuilds", { ...flask, imageVersion: "1.0" }],
  ["ListManagedMicrovmImages", {}],
  ["ListManagedMicrovmImageVersions", { imageIdentifier: BASE }],
  ["ListMicrovms", {}],
] as const;

export const PAGING_CASES: readonly Case[] = [
  {
    name: "ListMicrovmImages has ten items a page unless asked otherwise, and a null token at the end",
    steps: [
      ...ELEVEN,
      {
        call: "ListMicrovmImages",
        answer: { items: summaries(letters.slice(0, 10)), nextToken: cursor },
        keep: more,
      },
      {
        call: "ListMicrovmImages",
        input: { nextToken: "<nextToken>" },
        answer: { items: summaries(["k"]), nextToken: null },
      },
      {
        call: "ListMicrovmImages",
        input: { maxResults: 50 },
        answer: { items: summaries(letters), nextToken: null },
      },
    ],
  },
  {
    name: "ListMicrovmImages filters names after paging, so that a page may be empty and have a next one",
    steps: [
      ...["one", "two", "three"].flatMap((name) => anImage({ name })),
      {
        call: "ListMicrovmImages",
        input: { nameFilter: "w", maxResults: 2 },
        answer: { items: [], nextToken: cursor },
        keep: more,
      },
      {
        call: "ListMicrovmImages",
        input: { nameFilter: "w", maxResults: 2, nextToken: "<nextToken>" },
        answer: { items: summaries(["two"]), nextToken: null },
      },
    ],
  },
  {
    name: "ListMicrovmImageVersions pages newest first",
    steps: [
      ...anImage(),
      ...anUpdate(),
      ...anUpdate(),
      {
        call: "ListMicrovmImageVersions",
        input: { ...flask, maxResults: 2 },
        answer: {
          items: [imageVersion({ imageVersion: "3.0" }), imageVersion({ imageVersion: "2.0" })],
          nextToken: cursor,
        },
        keep: more,
      },
      {
        call: "ListMicrovmImageVersions",
        input: { ...flask, maxResults: 2, nextToken: "<nextToken>" },
        answer: { items: [imageVersion()], nextToken: null },
      },
    ],
  },
  {
    name: "ListManagedMicrovmImages and their versions page as other lists do",
    steps: [
      {
        call: "ListManagedMicrovmImages",
        input: { maxResults: 1 },
        keep: more,
      },
      { call: "ListManagedMicrovmImages", input: { maxResults: 1, nextToken: "<nextToken>" } },
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: BASE, maxResults: 1 },
        keep: more,
      },
      {
        call: "ListManagedMicrovmImageVersions",
        input: { imageIdentifier: BASE, maxResults: 1, nextToken: "<nextToken>" },
      },
    ],
  },
  {
    name: "ListMicrovms has ten items a page unless asked otherwise, newest first",
    steps: [
      ...anImage(),
      { call: "RunMicrovm", input: flask, keep: { first: "microvmId" } },
      { service: "pass", seconds: 1 },
      ...TEN.map(() => aLaunch()),
      ...["<first>", "<microvmId>"].map((microvmId) => microvmIs("RUNNING", microvmId)),
      {
        call: "ListMicrovms",
        answer: {
          items: TEN.map(() => microvmItem({ state: oneOf("PENDING", "RUNNING") })),
          nextToken: cursor,
        },
        keep: more,
      },
      {
        call: "ListMicrovms",
        input: { nextToken: "<nextToken>" },
        answer: { items: [microvmItem({ microvmId: "<first>" })], nextToken: null },
      },
    ],
  },
  {
    name: "A nextToken that is not one, or of another list or filter, answers 400 with an empty message",
    steps: [
      ...["a", "b"].flatMap((name) => anImage({ name })),
      { call: "ListMicrovmImages", input: { maxResults: 1 }, keep: more },
      ...(
        [
          ["ListMicrovmImages", { nextToken: "made-up" }],
          ["ListMicrovmImages", { nameFilter: "a", nextToken: "<nextToken>" }],
          ["ListManagedMicrovmImages", { nextToken: "<nextToken>" }],
          ["ListMicrovms", { nextToken: "<nextToken>" }],
        ] as const
      ).map(([call, input]) => ({
        call,
        input,
        refusal: { status: 400, type: "ValidationException", body: UNREADABLE },
      })),
    ],
  },
  {
    name: "A page size is 1 to 50 in every list",
    steps: BADLY_SIZED.flatMap(([call, input]) => [
      {
        call,
        input: { ...input, maxResults: 51 },
        refusal: violates(at("maxResults", "have value less than or equal to 50", "51")),
      },
      {
        call,
        input: { ...input, maxResults: 0 },
        refusal: violates(at("maxResults", "have value greater than or equal to 1", "0")),
      },
    ]),
  },
  {
    name: "Cursors stay good after a restart",
    steps: [
      ...["a", "b"].flatMap((name) => anImage({ name })),
      { call: "ListMicrovmImages", input: { maxResults: 1 }, keep: more },
      { service: "restart" },
      {
        call: "ListMicrovmImages",
        input: { maxResults: 1, nextToken: "<nextToken>" },
        answer: { items: summaries(["b"]), nextToken: null },
      },
    ],
  },
];
