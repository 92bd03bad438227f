// Builders of input shapes: zod types whose messages are the service's own constraint texts.
// They know wire types, not operations; schemas.ts composes them, validation.ts words the outcome.

import { z } from "zod";

/** Marks an issue of a value that has the wrong JSON type, for zod's custom issues. */
export const WRONG_TYPE = "wrongType";

/** What a builder made, for whoever walks a schema: the constraints stand nowhere else. */
export type Shape =
  | ({ readonly kind: "text" } & TextConstraints)
  | { readonly kind: "bytes"; readonly max: number }
  | { readonly kind: "enum"; readonly values: readonly string[] }
  | { readonly kind: "integer"; readonly min: number; readonly max: number }
  | {
      readonly kind: "structure" | "union";
      readonly members: Readonly<z.ZodRawShape>;
      /** How the members are spelled on the wire when not as in `members`. */
      readonly spelling?: "PascalCase";
    }
  | { readonly kind: "unit" | "unsupported" }
  | ({ readonly kind: "list" | "textList"; readonly item: z.ZodType } & Bounds)
  | {
      readonly kind: "textMap";
      readonly key: z.ZodType;
      readonly value: z.ZodType;
      readonly max: number | undefined;
    };

/** The shape of a schema that a builder of this file returned; undefined for any other. */
export function shapeOf(schema: z.core.$ZodType): Shape | undefined {
  return z.globalRegistry.get(schema)?.["shape"] as Shape | undefined;
}

/** The entry of the registry that `shapeOf` reads. */
export const shaped = (shape: Shape) => ({ shape });

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);
const NOT_NULL = "Member must not be null";

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

interface TextConstraints extends Bounds {
  /** A whole-value pattern as the service prints it. */
  readonly pattern?: string;
  /** What is taken instead of the pattern, where this service takes more. */
  readonly accepts?: RegExp;
}

const lengthAtMost = (max: number) => `Member must have length less than or equal to ${max}`;
const lengthAtLeast = (min: number) => `Member must have length greater than or equal to ${min}`;
const valueAtMost = (max: number) => `Member must have value less than or equal to ${max}`;
const valueAtLeast = (min: number) => `Member must have value greater than or equal to ${min}`;
const matches = (pattern: string) => `Member must satisfy regular expression pattern: ${pattern}`;

/** A string. Length counts UTF-16 units, as Java does. */
export function text({ min, max, pattern, accepts }: TextConstraints = {}) {
  let schema = z.string();
  const constraints: string[] = [];
  if (max !== undefined) {
    schema = schema.max(max, lengthAtMost(max));
    constraints.push(lengthAtMost(max));
  }
  if (min !== undefined) {
    schema = schema.min(min, lengthAtLeast(min));
    constraints.push(lengthAtLeast(min));
  }
  if (pattern !== undefined) {
    schema = schema.regex(accepts ?? new RegExp(`^(?:${pattern})$`, "u"), matches(pattern));
    constraints.push(matches(pattern));
  }
  const shape = shaped({ kind: "text", ...definedOf({ min, max, pattern, accepts }) });
  return schema.meta({ constraints: [...constraints, NOT_NULL], ...shape });
}

/** A string limited in UTF-8 bytes instead of characters. */
export function textOfBytes(max: number) {
  return z
    .string()
    .refine((value) => Buffer.byteLength(value) <= max, lengthAtMost(max))
    .meta(shaped({ kind: "bytes", max }));
}

/** A string out of a closed set. */
export function oneOf<const T extends readonly string[]>(values: T) {
  const constraint = `Member must satisfy enum value set: [${values.join(", ")}]`;
  const shape = shaped({ kind: "enum", values });
  return z.enum(values, constraint).meta({ constraints: [constraint, NOT_NULL], ...shape });
}

/** A 32-bit integer. */
export function integer({ min = INT32_MIN, max = INT32_MAX }: Bounds = {}) {
  return z
    .number()
    .refine(Number.isInteger, { params: { [WRONG_TYPE]: "Integer" } })
    .lte(max, valueAtMost(max))
    .gte(min, valueAtLeast(min))
    .meta(shaped({ kind: "integer", min, max }));
}

/** An integer that travels as text in the query. */
export function queryInteger(bounds: Bounds) {
  const fromText = (raw: unknown) =>
    typeof raw === "string" && /^[+-]?\d{1,15}$/.test(raw) ? Number(raw) : raw;
  return z.preprocess(fromText, integer(bounds));
}

/** A structure: nulls count as absent, unknown members are ignored. Violations come in the order of `shape`. */
export function structure<T extends z.ZodRawShape>(shape: T) {
  return z
    .preprocess(withoutNulls, z.object(shape))
    .meta(shaped({ kind: "structure", members: shape }));
}

/** A structure without members. */
export function unit() {
  return z
    .object({})
    .transform((): Record<string, never> => ({}))
    .meta(shaped({ kind: "unit" }));
}

/** A tagged union: a structure of which exactly one member is set. */
export function union<T extends z.ZodRawShape>(shape: T) {
  const tagged = z.object(shape).refine((value) => Object.keys(value).length === 1, {
    error: "Member must have exactly one member set",
  });
  return z.preprocess(withoutNulls, tagged).meta(shaped({ kind: "union", members: shape }));
}

/** A member that must not be ignored and cannot be honoured: whoever sets it is told why. */
export function unsupported(why: string) {
  return z
    .custom<never>(() => false, `Member must not be set: ${why}`)
    .meta(shaped({ kind: "unsupported" }))
    .exactOptional();
}

/** A list of structures; violations name the item. */
export function listOf<T extends z.ZodType>(item: T, { min, max }: Bounds = {}) {
  let schema = z.array(item);
  if (max !== undefined) schema = schema.max(max, lengthAtMost(max));
  if (min !== undefined) schema = schema.min(min, lengthAtLeast(min));
  return schema.meta(shaped({ kind: "list", item, ...definedOf({ min, max }) }));
}

/** A list of strings; the service reports bad items once, with all constraints of an item. */
export function textList<T extends string>(item: z.ZodType<T>, { min, max }: Bounds = {}) {
  return z
    .array(z.unknown())
    .transform((raw, context): T[] => {
      const items = collect(raw, item, context);
      if (max !== undefined && raw.length > max) report(context, lengthAtMost(max));
      if (min !== undefined && raw.length < min) report(context, lengthAtLeast(min));
      if (items.length < raw.length) report(context, composite("Member", item));
      return items;
    })
    .meta(shaped({ kind: "textList", item, ...definedOf({ min, max }) }));
}

/** A map of strings; the service reports bad keys once and bad values once, with all constraints of a key or value. */
export function textMap(key: z.ZodType<string>, value: z.ZodType<string>, { max }: Bounds = {}) {
  const shape = shaped({ kind: "textMap", key, value, max });
  const read = (raw: unknown, context: Context): Record<string, string> => {
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
      context.issues.push({ code: "invalid_type", expected: "record", input: raw });
      return {};
    }
    const keys = Object.keys(raw);
    const values = collect(Object.values(raw), value, context);
    if (max !== undefined && keys.length > max) report(context, lengthAtMost(max));
    // Assigning to this name would change an object's prototype somewhere down the line.
    if (keys.some((name) => name === "__proto__" || !key.safeParse(name).success))
      report(context, composite("Map keys", key));
    if (values.length < keys.length) report(context, composite("Map value", value));
    return Object.fromEntries(keys.map((name, index) => [name, values[index] ?? ""]));
  };
  return z.unknown().transform(read).meta(shape);
}

type Context = z.core.$RefinementCtx;

function report(context: Context, message: string): void {
  context.issues.push({ code: "custom", message, input: context.value });
}

/** The items that satisfy `schema`; one of the wrong JSON type is reported as that. */
function collect<T>(raw: readonly unknown[], schema: z.ZodType<T>, context: Context): T[] {
  const good: T[] = [];
  for (const value of raw) {
    const parsed = schema.safeParse(value);
    if (parsed.success) good.push(parsed.data);
    else if (typeof value !== "string" && value !== null)
      context.issues.push({ code: "invalid_type", expected: "string", input: value });
  }
  return good;
}

function composite(subject: "Member" | "Map keys" | "Map value", schema: z.ZodType): string {
  const constraints = schema.meta()?.["constraints"];
  const texts = Array.isArray(constraints) ? constraints.join(", ") : "";
  return `${subject} must satisfy constraint: [${texts}]`;
}

/** The bounds that are given. */
function definedOf<T extends object>(bounds: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const given = Object.entries(bounds).filter(([, bound]) => bound !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]?: NonNullable<T[K]> };
}

function withoutNulls(raw: unknown): unknown {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return raw;
  const set = Object.entries(raw).filter(([, value]) => value !== null);
  return set.length === Object.keys(raw).length ? raw : Object.fromEntries(set);
}
