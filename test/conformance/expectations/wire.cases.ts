// What is asserted on bytes, and requests that no client would send.

import type { Case, RawStep, Step } from "../support/cases.ts";
import { matching } from "../support/match.ts";
import { aMicrovm, anImage, aTerminatedMicrovm } from "./given.ts";
import {
  ACCOUNT,
  createdImage,
  FLASK,
  image,
  imageArn,
  NO_MICROVM,
  REGION,
  REQUIRED,
} from "./shapes.ts";

const IMAGES = "/2025-09-09/microvm-images";
const MICROVMS = "/2025-09-09/microvms";
const TAGS = "/2017-03-31/tags";
const CONNECTORS = "/2026-04-04/network-connectors";
const JSON_TYPE = { "content-type": "application/json" };
const NUMBER = "\\d{10}(\\.\\d{1,3})?";

const page = (title: string) =>
  [
    "<html>",
    `<head><title>${title}</title></head>`,
    "<body>",
    `<center><h1>${title}</h1></center>`,
    "<hr><center>nginx</center>",
    "</body>",
    "</html>",
    "",
  ].join("\r\n");
const NO_PLACE = {
  status: 404,
  text: page("404 Not Found"),
  headers: { "content-type": "text/html" },
};
const NO_MICROVM_PLACE = {
  status: 502,
  text: page("502 Bad Gateway"),
  headers: { "content-type": "text/html" },
};
const UNREADABLE = {
  status: 400,
  type: "SerializationException",
  text: '{"message":null}',
  headers: JSON_TYPE,
};

const get = (path: string, answer: Omit<RawStep, "raw">): Step => ({
  raw: { method: "GET", path },
  ...answer,
});
const post = (path: string, body: string | Uint8Array, answer: Omit<RawStep, "raw">): Step => ({
  raw: { method: "POST", path, body },
  ...answer,
});
const create = (members: object) => JSON.stringify({ name: "flask", ...REQUIRED, ...members });
const mint = (allowedPorts: unknown) => JSON.stringify({ expirationInMinutes: 5, allowedPorts });
const mismatch = (text: string): Omit<RawStep, "raw"> => ({
  status: 400,
  type: "SerializationException",
  text: JSON.stringify({ Message: text }),
});

export const WIRE_CASES: readonly Case[] = [
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
        text: `{"Type":"User","Message":"Network connector not found for: arn:aws:lambda:${REGION}:${ACCOUNT}:network-connector:absent"}`,
      }),
    ],
  },
  {
    name: "Colons in a path are raw or escaped, slashes may trail",
    steps: [
      ...anImage(),
      ...[FLASK, encodeURIComponent(FLASK), FLASK.replaceAll(":", "%3a")].map((spelt) =>
        get(`${IMAGES}/${spelt}`, { status: 200, body: image() }),
      ),
      get(`${IMAGES}/${FLASK}/`, { status: 200, body: image() }),
      get(`${TAGS}/${encodeURIComponent(FLASK)}`, { status: 200, text: '{"Tags":{}}' }),
    ],
  },
  {
    name: "A raw slash in an identifier, and any unknown path of the API families, meets the gateway's page",
    steps: [
      get(`${IMAGES}/${FLASK}/flask`, NO_PLACE),
      get("/2025-09-09/microvm-images/microvm-image/flask", NO_PLACE),
      get("/2025-09-09/functions", NO_PLACE),
      get("/2026-04-04/nothing", NO_PLACE),
    ],
  },
  {
    name: "A path outside the API families answers 404 UnknownOperationException",
    steps: [
      get("/2015-03-31/functions", { status: 404, type: "UnknownOperationException" }),
      get("/", { status: 404, type: "UnknownOperationException" }),
    ],
  },
  {
    name: "An id that cannot be a microVM's meets the gateway's page",
    steps: [
      get(`${MICROVMS}/mvm-1`, NO_MICROVM_PLACE),
      post(`${MICROVMS}/nothing/suspend`, "", NO_MICROVM_PLACE),
      post(`${MICROVMS}/nothing/auth-token`, mint([{ port: 80 }]), NO_MICROVM_PLACE),
    ],
  },
  {
    name: "A known path with another method answers 405 with Allow, HEAD without a body",
    steps: [
      {
        raw: { method: "PATCH", path: IMAGES },
        status: 405,
        type: "MethodNotAllowedException",
        headers: { allow: /GET.*POST|POST.*GET/ },
      },
      {
        raw: { method: "HEAD", path: MICROVMS },
        status: 405,
        type: "MethodNotAllowedException",
        text: "",
      },
    ],
  },
  {
    name: "A body that cannot be read answers 400 with a null message",
    steps: [
      post(IMAGES, "{", UNREADABLE),
      post(IMAGES, "not json", UNREADABLE),
      post(IMAGES, "[]", UNREADABLE),
      post(IMAGES, '"text"', UNREADABLE),
      post(IMAGES, Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), UNREADABLE),
    ],
  },
  {
    name: "No body at all has no members",
    steps: [
      post(MICROVMS, "", {
        status: 400,
        type: "ValidationException",
        text: '{"message":"1 validation error detected: Value null at \'imageIdentifier\' failed to satisfy constraint: Member must not be null"}',
      }),
    ],
  },
  {
    name: "Members that no model has are ignored, null ones count as absent, of two alike the last counts",
    steps: [
      post(IMAGES, create({ novelty: [1], description: null, hooks: null }), {
        status: 201,
        body: createdImage(),
      }),
      post(IMAGES, `{"name":"a",${create({ name: "second" }).slice(1)}`, {
        status: 201,
        body: createdImage({ name: "second", imageArn: imageArn("second") }),
      }),
    ],
  },
  {
    name: "allPorts must be {}: a boolean answers Expected null under Message",
    steps: [
      post(`${MICROVMS}/${NO_MICROVM}/auth-token`, mint([{ allPorts: true }]), {
        status: 400,
        type: "SerializationException",
        text: '{"Message":"Expected null"}',
      }),
    ],
  },
  {
    name: "A union has exactly one member",
    steps: [
      ...[[{}], [{ port: 80, allPorts: {} }]].map((ports) =>
        post(`${MICROVMS}/${NO_MICROVM}/auth-token`, mint(ports), {
          status: 400,
          type: "ValidationException",
          body: {
            message: matching(
              /^1 validation error detected: Value .*at 'allowedPorts\.1\.member' failed to satisfy constraint: Member must have exactly one member set$/,
            ),
          },
        }),
      ),
      post(IMAGES, create({ codeArtifact: {} }), {
        status: 400,
        type: "ValidationException",
        body: { message: matching(/at 'codeArtifact' .*exactly one member set$/) },
      }),
    ],
  },
  {
    name: "A range of ports that ends before it starts is refused",
    steps: [
      post(
        `${MICROVMS}/${NO_MICROVM}/auth-token`,
        mint([{ range: { startPort: 90, endPort: 80 } }]),
        {
          status: 400,
          type: "ValidationException",
          body: { message: matching(/at 'allowedPorts\.1\.member\.range' failed/) },
        },
      ),
    ],
  },
  {
    name: "A value of the wrong JSON type is told before any constraint, under Message",
    steps: [
      post(
        MICROVMS,
        '{"maximumDurationInSeconds":"60"}',
        mismatch("STRING_VALUE can not be converted to Integer"),
      ),
      post(
        MICROVMS,
        '{"imageIdentifier":5}',
        mismatch("NUMBER_VALUE can not be converted to String"),
      ),
      post(
        MICROVMS,
        '{"imageIdentifier":true}',
        mismatch("TRUE_VALUE can not be converted to String"),
      ),
      post(MICROVMS, '{"ingressNetworkConnectors":"all"}', mismatch("Expected list or null")),
      post(
        MICROVMS,
        '{"imageIdentifier":{}}',
        mismatch("Start of structure or map found where not expected."),
      ),
    ],
  },
  {
    name: "A customer managed key is refused rather than ignored",
    steps: [
      post(IMAGES, create({ kmsKeyIdentifier: "alias/own" }), {
        status: 400,
        type: "ValidationException",
      }),
    ],
  },
  {
    name: "A body over 1 MiB answers 413",
    steps: [
      post(IMAGES, "x".repeat(1024 * 1024 + 1), {
        status: 413,
        type: "RequestEntityTooLargeException",
      }),
    ],
  },
  {
    name: "A version may be spelt without its zero in a path",
    steps: [
      ...anImage(),
      get(`${IMAGES}/${FLASK}/versions/1/builds`, { status: 200, text: /"imageVersion":"1.0"/ }),
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
