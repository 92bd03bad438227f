// What is asserted on the bytes of answers.

import type { Case, RawStep, Step } from "../support/cases.ts";
import {} from "../support/match.ts";
import { aMicrovm, anImage, aTerminatedMicrovm } from "./given.ts";
import { ACCOUNT, FLASK, NO_MICROVM, REGION, REQUIRED } from "./shapes.ts";

const IMAGES = "/2025-09-09/microvm-images";
const MICROVMS = "/2025-09-09/microvms";
const TAGS = "/2017-03-31/tags";
const CONNECTORS = "/2026-04-04/network-connectors";
const JSON_TYPE = { "content-type": "application/json" };
const NUMBER = "\\d{10}(\\.\\d{1,3})?";

const get = (path: string, answer: Omit<RawStep, "raw">): Step => ({
  raw: { method: "GET", path },
  ...answer,
});
const post = (path: string, body: string | Uint8Array, answer: Omit<RawStep, "raw">): Step => ({
  raw: { method: "POST", path, body },
  ...answer,
});
const create = (members: object) => JSON.stringify({ name: "flask", ...REQUIRED, ...members });

export const BYTES_CASES: readonly Case[] = [
  {
    name: "The bytes of a microVM have explicit nulls and numbers for times",
    steps: [
      ...aMicrovm(),
      get(`${MICROVMS}/<microvmId>`, {
        status: 200,
        text: new RegExp(
          `"startedAt":${NUMBER},.*"terminatedAt":null,.*"stateReason":null,.*"terminationReasonCode":null`,
        ),
        headers: { ...JSON_TYPE, "content-length": /^\d+$/ },
      }),
      get(MICROVMS, { status: 200, text: /"nextToken":null/ }),
    ],
  },
  {
    name: "The bytes of an image and its version have explicit nulls and numbers for times",
    steps: [
      ...anImage(),
      get(`${IMAGES}/${FLASK}`, {
        status: 200,
        text: new RegExp(
          `"latestFailedImageVersion":null,"createdAt":${NUMBER},"updatedAt":${NUMBER},"tags":\\{\\}`,
        ),
      }),
      get(`${IMAGES}/${FLASK}/versions/1.0`, {
        status: 200,
        text: /"description":null,"logging":null,.*"hooks":null,"environmentVariables":null/,
      }),
    ],
  },
  {
    name: "The bytes of a state change are {}",
    steps: [
      ...aMicrovm(),
      { raw: { method: "POST", path: `${MICROVMS}/<microvmId>/suspend` }, status: 200, text: "{}" },
      { raw: { method: "DELETE", path: `${MICROVMS}/<microvmId>` }, status: 200, text: "{}" },
      {
        until: "GetMicrovm",
        input: { microvmIdentifier: "<microvmId>" },
        has: ["state", "TERMINATED"],
      },
      { raw: { method: "DELETE", path: `${MICROVMS}/<microvmId>` }, status: 200, text: "{}" },
    ],
  },
  {
    name: "The bytes of tags are an object when there are none, and nothing at all after a change",
    steps: [
      ...anImage(),
      get(`${TAGS}/${FLASK}`, { status: 200, text: '{"Tags":{}}' }),
      post(`${TAGS}/${FLASK}`, '{"Tags":{"a":"1","b":"2"}}', { status: 204, text: "" }),
      {
        raw: { method: "DELETE", path: `${TAGS}/${FLASK}?tagKeys=a&tagKeys=c` },
        status: 204,
        text: "",
      },
      get(`${TAGS}/${FLASK}`, { status: 200, text: '{"Tags":{"b":"2"}}' }),
    ],
  },
  {
    name: "The bytes of a connector have no null, and an ISO time",
    steps: [
      post(
        CONNECTORS,
        JSON.stringify({
          Name: "vpc",
          ClientToken: "t",
          OperatorRole: REQUIRED.buildRoleArn,
          Configuration: {
            VpcEgressConfiguration: {
              SubnetIds: ["subnet-0a"],
              NetworkProtocol: "IPv4",
              AssociatedComputeResourceTypes: ["MicroVm"],
            },
          },
        }),
        { status: 202, text: /^(?!.*null).*"State":"PENDING"\}$/, headers: JSON_TYPE },
      ),
      {
        until: "GetNetworkConnector",
        input: { Identifier: "vpc" },
        has: ["State", "ACTIVE"],
      },
      get(`${CONNECTORS}/vpc`, {
        status: 200,
        text: /^(?!.*null).*"LastModified":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/,
      }),
      get(CONNECTORS, { status: 200, text: /^(?!.*NextMarker)/ }),
    ],
  },
  {
    name: "Every refusal has its bytes: 400, 402, 403, 404, 409",
    service: { quotas: { images: 1 } },
    steps: [
      ...anImage(),
      post(IMAGES, create({ name: "second" }), {
        status: 402,
        type: "ServiceQuotaExceededException",
        text: /"resourceId":null/,
        body: {
          message: "The limit of MicroVM images has been reached for this account.",
          resourceId: null,
          resourceType: null,
          serviceCode: null,
          quotaCode: null,
        },
      }),
      get(`${IMAGES}/flask`, {
        status: 400,
        type: "ValidationException",
        text: '{"message":"Invalid ARN format: flask"}',
      }),
      get(`${MICROVMS}/${NO_MICROVM}`, {
        status: 404,
        type: "ResourceNotFoundException",
        text: `{"message":"MicroVM not found: ${NO_MICROVM}","resourceId":null,"resourceType":null}`,
      }),
      get(`${IMAGES}/microvm-image%2Fflask`, {
        status: 403,
        type: "AccessDeniedException",
        text: /^\{"Message":"User: arn:aws:iam::/,
      }),
      post(MICROVMS, JSON.stringify({ imageIdentifier: FLASK, clientToken: "t" }), { status: 200 }),
      post(
        MICROVMS,
        JSON.stringify({ imageIdentifier: FLASK, clientToken: "t", maximumDurationInSeconds: 9 }),
        {
          status: 409,
          type: "ConflictException",
          text: '{"message":"The provided clientToken was used with different request parameters","resourceId":null,"resourceType":null}',
        },
      ),
      get(`${CONNECTORS}/absent`, {
        status: 404,
        type: "ResourceNotFoundException",
        text: `{"Message":"Network connector not found for: arn:aws:lambda:${REGION}:${ACCOUNT}:network-connector:absent"}`,
      }),
    ],
  },
  {
    name: "A TERMINATED microVM's bytes have its end and its reason",
    steps: [
      ...aTerminatedMicrovm(),
      get(`${MICROVMS}/<microvmId>`, {
        status: 200,
        text: new RegExp(
          `"state":"TERMINATED",.*"terminatedAt":${NUMBER},"stateReason":"Success\\."`,
        ),
      }),
    ],
  },
];
