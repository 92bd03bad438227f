// All expectations.

import type { Case } from "../support/cases.ts";
import { BUILD_CASES } from "./builds.cases.ts";
import { BYTES_CASES } from "./bytes.cases.ts";
import { CONNECTOR_REFUSAL_CASES } from "./connector-refusals.cases.ts";
import { CONNECTOR_CASES } from "./connectors.cases.ts";
import { CONSTRAINT_CASES } from "./constraints.cases.ts";
import { IDEMPOTENCY_CASES } from "./idempotency.cases.ts";
import { IDENTITY_CASES } from "./identity.cases.ts";
import { IMAGE_CHANGE_CASES } from "./image-changes.cases.ts";
import { IMAGE_CONSTRAINT_CASES } from "./image-constraints.cases.ts";
import { IMAGE_CASES } from "./images.cases.ts";
import { LIFETIME_CASES } from "./lifetimes.cases.ts";
import { MANAGED_CASES } from "./managed.cases.ts";
import { MICROVM_CASES } from "./microvms.cases.ts";
import { PAGING_CASES } from "./paging.cases.ts";
import { REQUEST_CASES } from "./requests.cases.ts";
import { RUN_CASES } from "./run.cases.ts";
import { SIGNATURE_CASES } from "./signature.cases.ts";
import { TAG_CASES } from "./tags.cases.ts";
import { THROTTLING_CASES } from "./throttling.cases.ts";
import { TOKEN_CASES } from "./tokens.cases.ts";
import { VERSION_CASES } from "./versions.cases.ts";

/** Those that a client of lambda-microvms and STS is put through. */
export const CASES: readonly Case[] = [
  ...IMAGE_CASES,
  ...IMAGE_CHANGE_CASES,
  ...IMAGE_CONSTRAINT_CASES,
  ...VERSION_CASES,
  ...BUILD_CASES,
  ...MANAGED_CASES,
  ...RUN_CASES,
  ...MICROVM_CASES,
  ...LIFETIME_CASES,
  ...TOKEN_CASES,
  ...TAG_CASES,
  ...CONSTRAINT_CASES,
  ...PAGING_CASES,
  ...IDEMPOTENCY_CASES,
  ...THROTTLING_CASES,
  ...IDENTITY_CASES,
];

/** Those that need a client of lambda-core too. */
export const CORE_CASES: readonly Case[] = [...CONNECTOR_CASES, ...CONNECTOR_REFUSAL_CASES];

/** Those about bytes and about requests that no client would send. */
export const HTTP_CASES: readonly Case[] = [...BYTES_CASES, ...REQUEST_CASES, ...SIGNATURE_CASES];
