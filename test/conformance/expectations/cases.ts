// All expectations.

import type { Case } from "../support/cases.ts";
import { CONSTRAINT_CASES } from "./constraints.cases.ts";
import { IMAGE_CASES } from "./images.cases.ts";
import { PAGING_CASES } from "./paging.cases.ts";

/** Those that any client can be put through. */
export const CASES: readonly Case[] = [...IMAGE_CASES, ...CONSTRAINT_CASES, ...PAGING_CASES];
