// Inputs made from the schemas themselves: valid ones, and valid ones with constraints broken, each with the violations
// that it then has. What a constraint is called is written down here a second time, on purpose.

import fc from "fast-check";
import type { z } from "zod";
import { SENSITIVE_MEMBERS } from "../../../src/api/schemas.ts";
import { type Shape, shapeOf } from "../../../src/api/shapes.ts";

type Path = readonly (string | number)[];

interface Unwrapped {
  readonly shape: Shape | { readonly kind: "boolean" };
  readonly isRequired: boolean;
}

/** The shape inside what `optional`, `default`, `transform` and `preprocess` put around it. */
function unwrap(schema: z.core.$ZodType, isRequired = true): Unwrapped {
  const shape = shapeOf(schema);
  if (shape !== undefined) return { shape, isRequired };
  const def = schema._zod.def as {
    readonly type: string;
    readonly innerType?: z.core.$ZodType;
    readonly in?: z.core.$ZodType;
    readonly out?: z.core.$ZodType;
  };
  if (def.type === "boolean") return { shape: { kind: "boolean" }, isRequired };
  if (def.innerType !== undefined) return unwrap(def.innerType, false);
  const inner = [def.in, def.out].find((side) => side && side._zod.def.type !== "transform");
  if (inner === undefined) throw new TypeError(`No shape in a schema of type ${def.type}`);
  return unwrap(inner, isRequired);
}

/** Inputs that break no constraint. */
export function validInputs(schema: z.core.$ZodType): fc.Arbitrary<unknown> {
  const { shape } = unwrap(schema);
  switch (shape.kind) {
    case "text":
      return texts(shape);
    case "bytes":
      return fc.string({ maxLength: 40, unit: "grapheme" });
    case "enum":
      return fc.constantFrom(...shape.values);
    case "integer":
      return fc.integer({ min: shape.min, max: shape.max });
    case "boolean":
      return fc.boolean();
    case "unit":
      return fc.constant({});
    case "structure":
      return structures(wireMembers(shape));
    case "union":
      return fc.oneof(
        ...wireMembers(shape).map(([name, member]) => fc.record({ [name]: validInputs(member) })),
      );
    case "list":
    case "textList": {
      const { min = 0, max = 3 } = shape;
      return fc.array(validInputs(shape.item), { minLength: min, maxLength: Math.min(max, 3) });
    }
    case "textMap": {
      const keys = validInputs(shape.key) as fc.Arbitrary<string>;
      const maxKeys = Math.min(shape.max ?? 3, 3);
      return fc.dictionary(keys, validInputs(shape.value), { maxKeys, noNullPrototype: true });
    }
    case "unsupported":
      throw new TypeError("Nothing is valid for a member that is not supported");
    default:
      return shape satisfies never;
  }
}

type Structure = Extract<Shape, { readonly kind: "structure" | "union" }>;

/** Members under their names on the wire. */
function wireMembers({ members, spelling }: Structure): [string, z.core.$ZodType][] {
  const isPascal = spelling === "PascalCase";
  return Object.entries(members).map(([name, member]) => [
    isPascal ? `${name.slice(0, 1).toUpperCase()}${name.slice(1)}` : name,
    member,
  ]);
}

function structures(members: [string, z.core.$ZodType][]): fc.Arbitrary<unknown> {
  const supported = members.filter(([, member]) => unwrap(member).shape.kind !== "unsupported");
  const requiredKeys = supported.flatMap(([name, member]) =>
    unwrap(member).isRequired ? [name] : [],
  );
  const model = Object.fromEntries(
    supported.map(([name, member]) => [name, validInputs(member)]),
  ) as Record<string, fc.Arbitrary<unknown>>;
  return fc.record(model, { requiredKeys, noNullPrototype: true }).map(inOrder);
}

/** A range may not end before it starts: the one constraint between members. */
function inOrder(value: Record<string, unknown>): Record<string, unknown> {
  const { startPort, endPort } = value;
  if (typeof startPort !== "number" || typeof endPort !== "number") return value;
  return { startPort: Math.min(startPort, endPort), endPort: Math.max(startPort, endPort) };
}

type TextShape = Extract<Shape, { readonly kind: "text" }>;

function texts(shape: TextShape): fc.Arbitrary<string> {
  const { min = 0, max = 256 } = shape;
  const bounds = { minLength: min, maxLength: Math.min(max, min + 40) };
  const pattern = patternOf(shape);
  if (pattern === undefined) return fc.string(bounds);
  // The generator knows no Unicode properties; a few characters of each kind stand for them.
  const some = pattern.source.includes("\\p{")
    ? fc.string({ ...bounds, unit: fc.constantFrom(..."aZé九9٣ _.:/=+-@") })
    : fc.stringMatching(new RegExp(pattern.source), { maxLength: Math.min(max, 256) });
  return some.filter((text) => violationsOfText(shape, text).length === 0);
}

function patternOf({ pattern, accepts }: TextShape): RegExp | undefined {
  return accepts ?? (pattern === undefined ? undefined : new RegExp(`^(?:${pattern})$`, "u"));
}

function violationsOfText(shape: TextShape, text: string): string[] {
  const { min = 0, max = Number.POSITIVE_INFINITY, pattern } = shape;
  return [
    ...(text.length > max ? [atMost("length", max)] : []),
    ...(text.length < min ? [atLeast("length", min)] : []),
    ...(patternOf(shape)?.test(text) === false ? [matching(pattern)] : []),
  ];
}

const atMost = (what: string, max: number) =>
  `Member must have ${what} less than or equal to ${max}`;
const atLeast = (what: string, min: number) =>
  `Member must have ${what} greater than or equal to ${min}`;
const matching = (pattern = "") => `Member must satisfy regular expression pattern: ${pattern}`;
const NOT_NULL = "Member must not be null";

/** One way to break one value. */
interface Break {
  readonly path: Path;
  /** Undefined removes the member. */
  readonly value: unknown;
  readonly constraints: readonly string[];
}

/** A broken input and the items of the message that it must get. */
export interface BrokenInput {
  readonly raw: unknown;
  readonly violations: readonly string[];
}

/** Inputs with one to four constraints broken, in different places. */
export function brokenInputs(schema: z.core.$ZodType): fc.Arbitrary<BrokenInput> {
  return validInputs(schema).chain((raw): fc.Arbitrary<BrokenInput> => {
    const breaks = breaksOf(schema, raw, []);
    if (breaks.length === 0) return fc.constant({ raw, violations: [] });
    return fc
      .subarray(
        breaks.map((_, index) => index),
        { minLength: 1, maxLength: Math.min(4, breaks.length) },
      )
      .map((chosen) => {
        const apart: Break[] = [];
        for (const index of chosen) {
          const one = breaks[index];
          if (one !== undefined && !apart.some(({ path }) => overlap(path, one.path)))
            apart.push(one);
        }
        const broken = structuredClone(raw);
        for (const { path, value } of apart) put(broken, path, value);
        return { raw: broken, violations: apart.flatMap(itemsOf) };
      });
  });
}

/** Ways to break what is there, in the order in which the service lists them. */
function breaksOf(schema: z.core.$ZodType, value: unknown, path: Path): Break[] {
  const { shape } = unwrap(schema);
  switch (shape.kind) {
    case "text":
      return wrongTexts(shape).map((text) => ({
        ...{ path, value: text, constraints: violationsOfText(shape, text) },
      }));
    case "bytes":
      return [
        { path, value: "é".repeat(shape.max / 2 + 1), constraints: [atMost("length", shape.max)] },
      ];
    case "enum":
      return [{ path, value: "OTHER", constraints: [enumSet(shape.values)] }];
    case "integer":
      return [
        { path, value: shape.max + 1, constraints: [atMost("value", shape.max)] },
        { path, value: shape.min - 1, constraints: [atLeast("value", shape.min)] },
      ];
    case "structure":
      return wireMembers(shape).flatMap(([name, member]) =>
        breaksOfMember(member, value as Record<string, unknown>, [...path, name]),
      );
    case "union":
      return [
        { path, value: {}, constraints: ["Member must have exactly one member set"] },
        ...wireMembers(shape).flatMap(([name, member]) =>
          breaksOfMember(member, value as Record<string, unknown>, [...path, name]),
        ),
      ];
    case "list":
      return [
        ...(value as unknown[]).flatMap((item, index) =>
          breaksOf(shape.item, item, [...path, index]),
        ),
        ...wrongLengths(shape, value as unknown[], path),
      ];
    case "textList":
      return [
        ...wrongLengths(shape, value as unknown[], path),
        ...wrongElement(shape.item).map((text): Break => ({
          ...{ path, value: [text], constraints: [composite("Member", shape.item)] },
        })),
      ];
    case "textMap":
      return [
        ...wrongElement(shape.key).map((key): Break => ({
          ...{ path, value: { [key]: "" }, constraints: [composite("Map keys", shape.key)] },
        })),
        ...wrongElement(shape.value).map((text): Break => ({
          ...{ path, value: { key: text }, constraints: [composite("Map value", shape.value)] },
        })),
      ];
    default:
      return [];
  }
}

function breaksOfMember(
  member: z.core.$ZodType,
  parent: Readonly<Record<string, unknown>>,
  path: Path,
): Break[] {
  const name = String(path.at(-1));
  if (!(name in parent)) return [];
  const isRequired = unwrap(member).isRequired;
  const missing: Break[] = isRequired ? [{ path, value: undefined, constraints: [NOT_NULL] }] : [];
  return [...missing, ...breaksOf(member, parent[name], path)];
}

/** Texts that break each constraint of a shape, some of them several. */
function wrongTexts(shape: TextShape): string[] {
  const tooLong = shape.max === undefined ? [] : ["a".repeat(shape.max + 1)];
  return [...tooLong, "", " ", "a b", "*:!", "\u0007"].filter(
    (text) => violationsOfText(shape, text).length > 0,
  );
}

function wrongElement(schema: z.core.$ZodType): string[] {
  const { shape } = unwrap(schema);
  if (shape.kind === "enum") return ["OTHER"];
  return shape.kind === "text" ? wrongTexts(shape) : [];
}

function wrongLengths(
  { min = 0, max }: { readonly min?: number; readonly max?: number },
  value: readonly unknown[],
  path: Path,
): Break[] {
  const [first] = value;
  const tooMany = max === undefined || first === undefined ? [] : Array(max + 1).fill(first);
  return [
    ...(tooMany.length > 0
      ? [{ path, value: tooMany as unknown[], constraints: [atMost("length", max ?? 0)] }]
      : []),
    ...(min > 0 ? [{ path, value: [], constraints: [atLeast("length", min)] }] : []),
  ];
}

function enumSet(values: readonly string[]): string {
  return `Member must satisfy enum value set: [${values.join(", ")}]`;
}

function composite(subject: string, schema: z.core.$ZodType): string {
  const { shape } = unwrap(schema);
  if (shape.kind === "enum")
    return `${subject} must satisfy constraint: [${enumSet(shape.values)}, ${NOT_NULL}]`;
  if (shape.kind !== "text") throw new TypeError(`A ${shape.kind} has no constraints in words`);
  const { min, max, pattern } = shape;
  const texts = [
    ...(max === undefined ? [] : [atMost("length", max)]),
    ...(min === undefined ? [] : [atLeast("length", min)]),
    ...(pattern === undefined ? [] : [matching(pattern)]),
    NOT_NULL,
  ];
  return `${subject} must satisfy constraint: [${texts.join(", ")}]`;
}

function overlap(a: Path, b: Path): boolean {
  const length = Math.min(a.length, b.length);
  return a.slice(0, length).join("\n") === b.slice(0, length).join("\n");
}

function put(root: unknown, path: Path, value: unknown): void {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((at, part) => (at as Record<string | number, unknown>)[part], root);
  const name = path.at(-1) ?? "";
  if (value === undefined) delete (parent as Record<string | number, unknown>)[name];
  else (parent as Record<string | number, unknown>)[name] = value;
}

function itemsOf({ path, value, constraints }: Break): string[] {
  const where = path.map((part) =>
    typeof part === "number"
      ? `${part + 1}.member`
      : `${part.slice(0, 1).toLowerCase()}${part.slice(1)}`,
  );
  const isSensitive = where.some((name) => SENSITIVE_MEMBERS.has(name));
  const printed = printedOf(value);
  const shown = isSensitive || printed.length > 1024 ? "Value" : `Value '${printed}'`;
  const subject = value === undefined ? "Value null" : shown;
  return constraints.map(
    (constraint) =>
      `${subject} at '${where.join(".")}' failed to satisfy constraint: ${constraint}`,
  );
}

function printedOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printedOf).join(", ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Object.entries(value).map(([name, inner]) => `${name}=${printedOf(inner)}`);
  return `{${entries.join(", ")}}`;
}
