// Request rates, where they are enforced.

import type { Case, Step } from "../support/cases.ts";
import { aMicrovm, theMicrovm } from "./given.ts";
import { notFound, THROTTLED } from "./refusals.ts";
import { FLASK, microvm, NO_MICROVM } from "./shapes.ts";

const nobody = { microvmIdentifier: NO_MICROVM };
const nowhere = notFound(`MicroVM not found: ${NO_MICROVM}`);
/** Requests a second, and at once, and one that is refused for another reason until there are too many. */
const DOCUMENTED = [
  [
    "RunMicrovm",
    5,
    { imageIdentifier: FLASK },
    notFound(`No active version found for MicroVM image ${FLASK}`),
  ],
  ["ResumeMicrovm", 5, nobody, nowhere],
  ["SuspendMicrovm", 2, nobody, nowhere],
  ["TerminateMicrovm", 10, nobody, nowhere],
  ["GetMicrovm", 100, nobody, nowhere],
  [
    "CreateMicrovmAuthToken",
    50,
    { ...nobody, expirationInMinutes: 5, allowedPorts: [{ port: 80 }] },
    nowhere,
  ],
  ["CreateMicrovmShellAuthToken", 5, { ...nobody, expirationInMinutes: 5 }, nowhere],
] as const;

export const THROTTLING_CASES: readonly Case[] = [
  {
    name: "Rates above the quota answer 429 with Retry-After, and let pass again after it",
    service: { quotas: { enforceRates: true, rates: { RunMicrovm: 1 } } },
    steps: [
      ...aMicrovm(),
      { call: "RunMicrovm", input: { imageIdentifier: FLASK }, refusal: THROTTLED },
      { service: "pass", seconds: 1 },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK },
        answer: microvm({ state: "PENDING" }),
      },
    ],
  },
  {
    name: "Rates are the documented ones unless set otherwise",
    service: { quotas: { enforceRates: true } },
    steps: DOCUMENTED.flatMap(([call, rate, input, refusal]) => [
      ...Array<Step>(rate).fill({ call, input, refusal }),
      { call, input, refusal: THROTTLED },
    ]),
  },
  {
    name: "Rates are counted before a request is looked into, for each account and operation apart",
    service: { quotas: { enforceRates: true, rates: { SuspendMicrovm: 1 } } },
    steps: [
      ...aMicrovm(),
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      {
        call: "SuspendMicrovm",
        input: nobody,
        refusal: THROTTLED,
      },
      {
        call: "SuspendMicrovm",
        as: "other",
        input: theMicrovm,
        refusal: {
          status: 404,
          type: "ResourceNotFoundException",
          body: {
            message: "MicroVM not found: <microvmId>",
            resourceId: null,
            resourceType: null,
          },
        },
      },
      { call: "GetMicrovm", input: theMicrovm },
    ],
  },
  {
    name: "Rates are not enforced unless asked for",
    service: { quotas: { rates: { RunMicrovm: 1 } } },
    steps: [
      ...aMicrovm(),
      { call: "RunMicrovm", input: { imageIdentifier: FLASK } },
      { call: "RunMicrovm", input: { imageIdentifier: FLASK } },
    ],
  },
];
