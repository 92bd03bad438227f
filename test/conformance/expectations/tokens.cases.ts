// Endpoint and shell tokens.

import type { Case, Step } from "../support/cases.ts";
import { matcher } from "../support/match.ts";
import {
  aLaunch,
  aMicrovm,
  anImage,
  aSuspendedMicrovm,
  aTerminatedMicrovm,
  theMicrovm,
} from "./given.ts";
import { invalid, notFound } from "./refusals.ts";
import { ALL_INGRESS, HTTP_INGRESS, NO_INGRESS, NO_MICROVM, SHELL_INGRESS } from "./shapes.ts";

const asked = { expirationInMinutes: 60, allowedPorts: [{ port: 8080 }] };
/** A compact JWE without an encrypted key, with these three members in this order in its header. */
const jwe = matcher("a JWE with kid, dir and A256GCM", (value) => {
  if (typeof value !== "string") return false;
  const [header = "", encryptedKey, ...rest] = value.split(".");
  const uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
  const isHeader = new RegExp(`^\\{"kid":"${uuid}","alg":"dir","enc":"A256GCM"\\}$`);
  return (
    isHeader.test(Buffer.from(header, "base64url").toString()) &&
    encryptedKey === "" &&
    rest.length === 3 &&
    value.length >= 767 &&
    value.length <= 868
  );
});
const MINTED = { authToken: { "X-aws-proxy-auth": jwe } };

export const TOKEN_CASES: readonly Case[] = [
  {
    name: "CreateMicrovmAuthToken answers a JWE under the name of its header",
    steps: [
      ...aMicrovm(),
      { call: "CreateMicrovmAuthToken", input: { ...theMicrovm, ...asked }, answer: MINTED },
    ],
  },
  {
    name: "CreateMicrovmAuthToken takes ports, ranges and all ports, one or several",
    steps: [
      ...aMicrovm(),
      ...[
        [{ allPorts: {} }],
        [{ range: { startPort: 3000, endPort: 4000 } }],
        [{ port: 80 }, { port: 443 }, { range: { startPort: 1, endPort: 65535 } }],
      ].map((allowedPorts) => ({
        call: "CreateMicrovmAuthToken" as const,
        input: { ...theMicrovm, expirationInMinutes: 1, allowedPorts },
        answer: MINTED,
      })),
    ],
  },
  {
    name: "CreateMicrovmAuthToken mints for PENDING and SUSPENDED microVMs",
    steps: [
      ...aSuspendedMicrovm(),
      { call: "CreateMicrovmAuthToken", input: { ...theMicrovm, ...asked }, answer: MINTED },
      { host: "hold", call: "run" },
      aLaunch(),
      { call: "CreateMicrovmAuthToken", input: { ...theMicrovm, ...asked }, answer: MINTED },
    ],
  },
  {
    name: "CreateMicrovmAuthToken refuses a TERMINATED microVM",
    steps: [
      ...aTerminatedMicrovm(),
      {
        call: "CreateMicrovmAuthToken",
        input: { ...theMicrovm, ...asked },
        refusal: invalid(
          "The MicroVM <microvmId> has been terminated and its state cannot be changed.",
        ),
      },
    ],
  },
  {
    name: "CreateMicrovmAuthToken answers 404 for a microVM that does not exist, or is another account's",
    steps: [
      {
        call: "CreateMicrovmAuthToken",
        input: { microvmIdentifier: NO_MICROVM, ...asked },
        refusal: notFound(`MicroVM not found: ${NO_MICROVM}`),
      },
      ...anImage(),
      aLaunch(),
      {
        call: "CreateMicrovmAuthToken",
        as: "other",
        input: { ...theMicrovm, ...asked },
        refusal: notFound("MicroVM not found: <microvmId>"),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken answers a JWE of the same form, with HTTP_INGRESS or alone",
    steps: [SHELL_INGRESS, HTTP_INGRESS].flatMap((other): readonly Step[] => [
      ...(other === SHELL_INGRESS ? anImage() : []),
      aLaunch({ ingressNetworkConnectors: [...new Set([SHELL_INGRESS, other])] }),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, expirationInMinutes: 60 },
        answer: MINTED,
      },
    ]),
  },
  {
    name: "CreateMicrovmShellAuthToken demands SHELL_INGRESS, which ALL_INGRESS does not stand for",
    steps: [
      ...anImage(),
      ...[undefined, [ALL_INGRESS], [NO_INGRESS]].flatMap((connectors): readonly Step[] => [
        aLaunch(connectors && { ingressNetworkConnectors: connectors }),
        {
          call: "CreateMicrovmShellAuthToken",
          input: { ...theMicrovm, expirationInMinutes: 5 },
          refusal: invalid(
            "Shell access requires SHELL_INGRESS network connector to be configured on the MicroVM.",
          ),
        },
      ]),
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken refuses ALL_INGRESS beside others, which RunMicrovm takes",
    steps: [
      ...anImage(),
      aLaunch({ ingressNetworkConnectors: [ALL_INGRESS, SHELL_INGRESS] }),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, expirationInMinutes: 5 },
        refusal: invalid(
          "ALL_INGRESS cannot be combined with other ingress network connectors; use HTTP_INGRESS and/or SHELL_INGRESS instead",
        ),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken lives from 1 to 60 minutes",
    steps: [
      {
        call: "CreateMicrovmShellAuthToken",
        input: { microvmIdentifier: NO_MICROVM, expirationInMinutes: 61 },
        refusal: invalid(
          "1 validation error detected: Value '61' at 'expirationInMinutes' failed to satisfy constraint: Member must have value less than or equal to 60",
        ),
      },
      {
        call: "CreateMicrovmShellAuthToken",
        input: { microvmIdentifier: NO_MICROVM, expirationInMinutes: 0 },
        refusal: invalid(
          "1 validation error detected: Value '0' at 'expirationInMinutes' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
      },
      {
        call: "CreateMicrovmShellAuthToken",
        input: { microvmIdentifier: NO_MICROVM, expirationInMinutes: 5 },
        refusal: notFound(`MicroVM not found: ${NO_MICROVM}`),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken refuses a TERMINATED microVM",
    steps: [
      ...aTerminatedMicrovm(),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, expirationInMinutes: 5 },
        refusal: invalid(
          "The MicroVM <microvmId> has been terminated and its state cannot be changed.",
        ),
      },
    ],
  },
];
