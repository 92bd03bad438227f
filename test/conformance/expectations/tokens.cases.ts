// Endpoint and shell tokens.

import type { Case } from "../support/cases.ts";
import { matcher } from "../support/match.ts";
import {
  aLaunch,
  aMicrovm,
  anImage,
  aSuspendedMicrovm,
  aTerminatedMicrovm,
  theMicrovm,
} from "./given.ts";
import { at, invalid, notFound, upTo, violates } from "./refusals.ts";
import { ALL_INGRESS, HTTP_INGRESS, NO_INGRESS, NO_MICROVM, SHELL_INGRESS } from "./shapes.ts";

const asked = { expirationInMinutes: 60, allowedPorts: [{ port: 8080 }] };
const minutes = { expirationInMinutes: 60 };
const withShell = { ingressNetworkConnectors: [HTTP_INGRESS, SHELL_INGRESS] };
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
    name: "CreateMicrovmShellAuthToken answers a JWE like that of CreateMicrovmAuthToken, also for PENDING and SUSPENDED microVMs",
    steps: [
      ...aSuspendedMicrovm(withShell),
      { call: "CreateMicrovmShellAuthToken", input: { ...theMicrovm, ...minutes }, answer: MINTED },
      { host: "hold", call: "run" },
      aLaunch(withShell),
      { call: "CreateMicrovmShellAuthToken", input: { ...theMicrovm, ...minutes }, answer: MINTED },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken needs SHELL_INGRESS, alone or with HTTP_INGRESS",
    steps: [
      ...aMicrovm({ ingressNetworkConnectors: [SHELL_INGRESS] }),
      { call: "CreateMicrovmShellAuthToken", input: { ...theMicrovm, ...minutes }, answer: MINTED },
      ...[undefined, [NO_INGRESS], [ALL_INGRESS]].flatMap((ingressNetworkConnectors) => [
        aLaunch({ ...(ingressNetworkConnectors && { ingressNetworkConnectors }) }),
        {
          call: "CreateMicrovmShellAuthToken" as const,
          input: { ...theMicrovm, ...minutes },
          refusal: invalid(
            "Shell access requires SHELL_INGRESS network connector to be configured on the MicroVM.",
          ),
        },
      ]),
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken refuses ALL_INGRESS beside others, which Run takes",
    steps: [
      ...aMicrovm({ ingressNetworkConnectors: [ALL_INGRESS, SHELL_INGRESS] }),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, ...minutes },
        refusal: invalid(
          "ALL_INGRESS cannot be combined with other ingress network connectors; use HTTP_INGRESS and/or SHELL_INGRESS instead",
        ),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken takes 1 to 60 minutes",
    steps: [
      ...aMicrovm(withShell),
      ...[1, 60].map((expirationInMinutes) => ({
        call: "CreateMicrovmShellAuthToken" as const,
        input: { ...theMicrovm, expirationInMinutes },
        answer: MINTED,
      })),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, expirationInMinutes: 61 },
        refusal: violates(at("expirationInMinutes", upTo(60), "61")),
      },
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, expirationInMinutes: 0 },
        refusal: violates(at("expirationInMinutes", "have value greater than or equal to 1", "0")),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken refuses a TERMINATED microVM",
    steps: [
      ...aTerminatedMicrovm(withShell),
      {
        call: "CreateMicrovmShellAuthToken",
        input: { ...theMicrovm, ...minutes },
        refusal: invalid(
          "The MicroVM <microvmId> has been terminated and its state cannot be changed.",
        ),
      },
    ],
  },
  {
    name: "CreateMicrovmShellAuthToken answers 404 for a microVM that does not exist, or is another account's",
    steps: [
      {
        call: "CreateMicrovmShellAuthToken",
        input: { microvmIdentifier: NO_MICROVM, ...minutes },
        refusal: notFound(`MicroVM not found: ${NO_MICROVM}`),
      },
      ...anImage(),
      aLaunch(withShell),
      {
        call: "CreateMicrovmShellAuthToken",
        as: "other",
        input: { ...theMicrovm, ...minutes },
        refusal: notFound("MicroVM not found: <microvmId>"),
      },
    ],
  },
];
