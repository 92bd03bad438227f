// Requests that no client would send.

import type { Case, RawStep, Step } from "../support/cases.ts";
import { matching } from "../support/match.ts";
import { anImage } from "./given.ts";
import { createdImage, FLASK, image, imageArn, NO_MICROVM, REQUIRED } from "./shapes.ts";

const IMAGES = "/2025-09-09/microvm-images";
const MICROVMS = "/2025-09-09/microvms";
const TAGS = "/2017-03-31/tags";
const JSON_TYPE = { "content-type": "application/json" };

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

const SEVENTEEN = Array.from({ length: 17 }, (_, index) => `subnet-${index}`);

export const REQUEST_CASES: readonly Case[] = [
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
      get("/2017-03-31/nothing", NO_PLACE),
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
    name: "A connector without ClientToken is refused, although its model calls it optional",
    steps: [
      post(
        "/2026-04-04/network-connectors",
        JSON.stringify({
          Name: "vpc",
          OperatorRole: REQUIRED.buildRoleArn,
          Configuration: {
            VpcEgressConfiguration: {
              SubnetIds: ["subnet-0a"],
              NetworkProtocol: "IPv4",
              AssociatedComputeResourceTypes: ["MicroVm"],
            },
          },
        }),
        {
          status: 400,
          type: "InvalidParameterValueException",
          body: { message: "ClientToken is a required field" },
        },
      ),
    ],
  },
  {
    name: "A connector's constraints come before everything that it lacks",
    steps: [
      post(
        "/2026-04-04/network-connectors",
        JSON.stringify({
          Name: "vpc",
          Configuration: { VpcEgressConfiguration: { SubnetIds: SEVENTEEN } },
        }),
        {
          status: 400,
          type: "ValidationException",
          body: {
            message: `1 validation error detected: Value '[${SEVENTEEN.join(", ")}]' at 'configuration.vpcEgressConfiguration.subnetIds' failed to satisfy constraint: Member must have length less than or equal to 16`,
          },
        },
      ),
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
];
