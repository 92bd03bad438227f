// All expectations.

import type { Case } from "../support/cases.ts";
import { CONNECTOR_CASES } from "./connectors.cases.ts";
import { CONSTRAINT_CASES } from "./constraints.cases.ts";
import { IDEMPOTENCY_CASES } from "./idempotency.cases.ts";
import { IDENTITY_CASES } from "./identity.cases.ts";
import { IMAGE_CASES } from "./images.cases.ts";
import { MICROVM_CASES } from "./microvms.cases.ts";
import { PAGING_CASES } from "./paging.cases.ts";
import { RUN_CASES } from "./run.cases.ts";
import { SIGNATURE_CASES } from "./signature.cases.ts";
import { TAG_CASES } from "./tags.cases.ts";
import { THROTTLING_CASES } from "./throttling.cases.ts";
import { TOKEN_CASES } from "./tokens.cases.ts";
import { VERSION_CASES } from "./versions.cases.ts";
import { WIRE_CASES } from "./wire.cases.ts";

/** Those that a client of lambda-microvms and STS is put through. */
export const CASES: readonly Case[] = [
  ...IMAGE_CASES,
  ...VERSION_CASES,
  ...RUN_CASES,
  ...MICROVM_CASES,
  ...TOKEN_CASES,
  ...TAG_CASES,
  ...CONSTRAINT_CASES,
  ...PAGING_CASES,
  ...IDEMPOTENCY_CASES,
  ...THROTTLING_CASES,
  ...IDENTITY_CASES,
];

/** Those that need a client of lambda-core too. */
export const CORE_CASES: readonly Case[] = CONNECTOR_CASES;

/** Those about bytes and about requests that no client would send. */
export const HTTP_CASES: readonly Case[] = [...WIRE_CASES, ...SIGNATURE_CASES];
