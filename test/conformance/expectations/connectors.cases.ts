// Network connectors: an API family with capitals and without nulls.

import type { Case } from "../support/cases.ts";
import { epoch, iso, someText } from "../support/match.ts";
import {
  arnOf,
  inVpc,
  GIVEN,
  IT,
  connector,
  described,
  summary,
  refused,
  absent,
  withoutVpcMember,
  aConnector,
} from "./connector-shapes.ts";
import { anImage } from "./given.ts";
import { at, invalid, notFound, violates } from "./refusals.ts";
import { createdImage, FLASK, microvm, REQUIRED } from "./shapes.ts";

export const CONNECTOR_CASES: readonly Case[] = [
  {
    name: "CreateNetworkConnector answers 202 PENDING without members that are unset",
    steps: [{ call: "CreateNetworkConnector", input: GIVEN, answer: connector() }],
  },
  {
    name: "CreateNetworkConnector leaves out security groups that were not given",
    steps: [
      {
        call: "CreateNetworkConnector",
        input: { ...GIVEN, Configuration: withoutVpcMember("SecurityGroupIds") },
        answer: connector({ Configuration: withoutVpcMember("SecurityGroupIds") }),
      },
    ],
  },
  {
    name: "GetNetworkConnector takes id, name or ARN and tells reason, version and an ISO time",
    steps: [
      ...aConnector(),
      ...["<id>", "vpc", "<arn>", "<arn>:1"].map((Identifier) => ({
        call: "GetNetworkConnector" as const,
        input: { Identifier },
        answer: described({ Id: "<id>", Arn: "<arn>" }),
      })),
    ],
  },
  {
    name: "ListNetworkConnectors pages through summaries and leaves NextMarker out at the end",
    steps: [
      { call: "ListNetworkConnectors", answer: { NetworkConnectors: [] } },
      ...aConnector(),
      ...aConnector({ Name: "vpc-2", ClientToken: "token-2" }),
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 1 },
        answer: { NetworkConnectors: [summary({ Name: someText })], NextMarker: someText },
        keep: { marker: "NextMarker" },
      },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 1, Marker: "<marker>" },
        answer: { NetworkConnectors: [summary({ Name: someText })] },
      },
      {
        call: "ListNetworkConnectors",
        input: { State: "FAILED" },
        answer: { NetworkConnectors: [] },
      },
      { call: "ListNetworkConnectors", as: "other", answer: { NetworkConnectors: [] } },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 100 },
        answer: {
          NetworkConnectors: [summary({ Name: someText }), summary({ Name: someText })],
        },
      },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 101 },
        refusal: violates(at("maxItems", "have value less than or equal to 100", "101")),
      },
      {
        call: "ListNetworkConnectors",
        input: { Marker: "made-up" },
        refusal: refused("Invalid Marker"),
      },
    ],
  },
  {
    name: "UpdateNetworkConnector answers 202 InProgress; the connector stays ACTIVE, its version counts on",
    steps: [
      ...aConnector(),
      {
        call: "UpdateNetworkConnector",
        input: { ...IT, Configuration: inVpc({ NetworkProtocol: "DualStack" }) },
        answer: connector({
          State: "ACTIVE",
          Configuration: inVpc({ NetworkProtocol: "DualStack" }),
          LastModified: iso,
          LastUpdateStatus: "InProgress",
        }),
      },
      { until: "GetNetworkConnector", input: IT, has: ["LastUpdateStatus", "Successful"] },
      {
        call: "GetNetworkConnector",
        input: IT,
        answer: described({
          Version: 2,
          Configuration: inVpc({ NetworkProtocol: "DualStack" }),
          LastUpdateStatus: "Successful",
        }),
      },
    ],
  },
  {
    name: "UpdateNetworkConnector says when nothing changes",
    steps: [
      ...aConnector(),
      {
        call: "UpdateNetworkConnector",
        input: { ...IT, Configuration: inVpc() },
        answer: connector({
          State: "ACTIVE",
          LastModified: iso,
          LastUpdateStatus: "Successful",
          LastUpdateStatusReason: "No configuration changes detected",
        }),
      },
      { call: "GetNetworkConnector", input: IT, answer: described() },
    ],
  },
  {
    name: "DeleteNetworkConnector answers 202 DELETING, then the connector is gone",
    steps: [
      ...aConnector(),
      { call: "DeleteNetworkConnector", input: IT, answer: connector({ State: "DELETING" }) },
      { until: "GetNetworkConnector", input: IT, has: "refused" },
      { call: "GetNetworkConnector", input: IT, refusal: absent(arnOf("<id>")) },
      { call: "DeleteNetworkConnector", input: IT, refusal: absent(arnOf("<id>")) },
    ],
  },
  {
    name: "Tags of a connector are merged, removed and listed",
    steps: [
      ...aConnector({ Tags: { a: "1" } }),
      { call: "TagResource", input: { Resource: "<arn>", Tags: { b: "2" } } },
      { call: "ListTags", input: { Resource: "<arn>" }, answer: { Tags: { a: "1", b: "2" } } },
      { call: "UntagResource", input: { Resource: "<arn>", TagKeys: ["a"] } },
      { call: "ListTags", input: { Resource: "<arn>" }, answer: { Tags: { b: "2" } } },
    ],
  },
  {
    name: "A connector of one's own can be given to images and microVMs once it is ACTIVE",
    steps: [
      ...aConnector(),
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, egressNetworkConnectors: ["<arn>"] },
        answer: microvm({ state: "PENDING", egressNetworkConnectors: ["<arn>"] }),
      },
      {
        call: "CreateMicrovmImage",
        input: { ...REQUIRED, name: "closed", egressNetworkConnectors: ["<arn>"] },
        answer: createdImage({
          name: "closed",
          imageArn: someText,
          egressNetworkConnectors: ["<arn>"],
          createdAt: epoch,
        }),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, ingressNetworkConnectors: ["<arn>"] },
        refusal: invalid(someText),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, egressNetworkConnectors: [arnOf("nc-absent")] },
        refusal: notFound(`Network connector not found for: ${arnOf("nc-absent")}`),
      },
    ],
  },
];
