// Takes a case step by step through a client, and looks at every answer twice: at its bytes, and at what the client made
// of them.

import assert from "node:assert/strict";
import { KEY, OTHER_KEY, type RawRequest, send, sign } from "../../integration/api/harness.ts";
import { REGION } from "../../unit/api/fixtures.ts";
import type { CallStep, Case, HostStep, RawStep, Step, UntilStep } from "./cases.ts";
import { assertClientSaw } from "./client-view.ts";
import type { ConformanceClient, Observed } from "./client.ts";
import { assertMatches, type Json, memberAt, substitute, uuid } from "./match.ts";
import { OPERATIONS } from "./operations.ts";
import { presign } from "./presign.ts";
import { type ServiceUnderTest, startService } from "./service.ts";

const KEYS = { root: KEY, other: OTHER_KEY } as const;
/** Longest wait for what the service does by itself. */
const PATIENCE_MS = 30_000;

interface Play {
  readonly service: ServiceUnderTest;
  readonly client: ConformanceClient;
  readonly kept: Map<string, Json>;
}

/** Plays the case on a service of its own. */
export async function runCase(client: ConformanceClient, { service: settings = {}, steps }: Case) {
  const isRestarted = steps.some((step) => "service" in step && step.service === "restart");
  await using service = await startService(settings, { isRestarted });
  const kept = new Map<string, Json>();
  for (const step of steps) {
    await takeStep({ service, client, kept }, step);
  }
}

async function takeStep(play: Play, step: Step): Promise<void> {
  const { service, kept } = play;
  if ("host" in step) return actOnHost(service, substitute(step, kept));
  if ("call" in step) return takeCall(play, step);
  if ("until" in step) return waitUntil(play, step);
  if ("raw" in step) return takeRaw(play, substitute(step, kept));
  if (step.service === "restart") return service.restart();
  service.pass(step.seconds);
}

async function takeCall(play: Play, step: CallStep): Promise<void> {
  const { call, answer, refusal, text } = step;
  const observed = await callThrough(play, step);
  keepMembers(play, step, observed);
  const wanted = refusal?.status ?? OPERATIONS[call].status;
  assert.equal(observed.status, wanted, `${call}: ${observed.body}`);
  assertMatches(observed.headers["x-amzn-requestid"], uuid, `${call}: request id`);
  if (text !== undefined) return assertText(observed, step);
  assertHeaders(observed, { ...refusal?.headers });
  assert.equal(observed.headers["x-amzn-errortype"], refusal?.type, `${call}: ${observed.body}`);
  if (observed.status === 204) return assertNoBody(observed);
  assert.equal(observed.headers["content-type"], "application/json");
  const expected = refusal?.body ?? answer;
  if (expected !== undefined)
    assertMatches(parsed(observed), substitute(expected, play.kept), `${call}: ${observed.body}`);
  assertClientSaw(observed, parsed(observed), refusal?.type);
}

function keepMembers({ kept }: Play, { call, keep = {} }: CallStep, observed: Observed): void {
  for (const [name, path] of Object.entries(keep)) {
    const value = memberAt(parsed(observed), path);
    assert.ok(value !== undefined && value !== null, `${call}: ${path} of ${observed.body}`);
    kept.set(name, value as Json);
  }
}

/** Of a protocol other than JSON only the client can say what the answer means. */
function assertText({ body, output }: Observed, { text = /^$/, answer, call }: CallStep): void {
  assert.match(body, text);
  if (answer !== undefined) assertMatches(output, answer, `${call}: ${body}`);
}

function callThrough(
  { service, client, kept }: Play,
  step: Pick<CallStep, "input" | "as" | "region"> & { call: CallStep["call"] },
): Promise<Observed> {
  return client.call({
    endpoint: service.endpoint,
    operation: step.call,
    input: substitute(step.input ?? {}, kept),
    region: step.region ?? REGION,
    key: KEYS[step.as ?? "root"],
  });
}

async function waitUntil(play: Play, { until, input, has }: UntilStep): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const observed = await callThrough(play, { call: until, input });
    const isRefused = observed.status >= 400;
    if (has === "refused" && isRefused) return;
    if (has !== "refused" && memberAt(parsed(observed), has[0]) === has[1]) return;
    if (Date.now() > deadline) assert.fail(`${until} never had ${String(has)}: ${observed.body}`);
  }
}

async function takeRaw({ service }: Play, step: RawStep): Promise<void> {
  const { raw, status, type, body, text, headers = {} } = step;
  const response = await send(service.port, signedRaw(service.port, step));
  const answer = {
    ...response,
    headers: Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
    ) as Record<string, string>,
  };
  const what = `${raw.method} ${raw.path}: ${answer.body}`;
  assert.equal(answer.status, status, what);
  assertMatches(answer.headers["x-amzn-requestid"], uuid, `${what}: request id`);
  assert.equal(answer.headers["x-amzn-errortype"], type, what);
  assertHeaders(answer, headers);
  if (body !== undefined) assertMatches(parsed(answer), body, what);
  if (typeof text === "string") assert.equal(answer.body, text, what);
  if (text instanceof RegExp) assert.match(answer.body, text, what);
}

function signedRaw(port: number, { raw, sign: choice = {} }: RawStep): RawRequest {
  if (choice === false) return raw;
  const { ageSeconds = 0, inQuery = false, ...options } = choice;
  const date = new Date(Date.now() - ageSeconds * 1000);
  return inQuery ? presign(port, raw, date) : sign(port, raw, { ...options, date });
}

function actOnHost(service: ServiceUnderTest, step: HostStep): void {
  switch (step.host) {
    case "hold":
      return service.hold(step.call);
    case "release":
      return service.release(step.call);
    case "fail":
      return service.fail(step.call, step.failure);
    case "kill":
      return service.kill(step.microvm, step.reason);
    default:
      return step satisfies never;
  }
}

function assertHeaders(
  { headers }: Pick<Observed, "headers">,
  expected: Readonly<Record<string, string | RegExp>>,
): void {
  for (const [name, value] of Object.entries(expected)) {
    if (value instanceof RegExp) assert.match(headers[name] ?? "", value, name);
    else assert.equal(headers[name], value, name);
  }
}

function assertNoBody({ body, headers }: Observed): void {
  assert.equal(body, "");
  assert.equal(headers["content-length"], undefined);
}

function parsed({ body }: Pick<Observed, "body">): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    if (error instanceof SyntaxError) return assert.fail(`Not JSON: ${body}`);
    throw error;
  }
}
