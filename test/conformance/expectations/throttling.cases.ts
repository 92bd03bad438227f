// Request rates, where they are enforced.

import type { Case } from "../support/cases.ts";
import { aMicrovm, theMicrovm } from "./given.ts";
import { THROTTLED } from "./refusals.ts";
import { FLASK, microvm } from "./shapes.ts";

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
    name: "Rates are counted before a request is looked into, for each account and operation apart",
    service: { quotas: { enforceRates: true, rates: { SuspendMicrovm: 1 } } },
    steps: [
      ...aMicrovm(),
      { call: "SuspendMicrovm", input: theMicrovm, answer: {} },
      {
        call: "SuspendMicrovm",
        input: { microvmIdentifier: "microvm-0f0e0d0c-0b0a-3908-8706-050403020100" },
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
