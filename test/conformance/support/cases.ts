// What an expectation is: data that any client can be driven by. A case has a service of its own and takes its steps in
// order; texts in it may hold `<name>`, which stands for what an earlier step kept.

import type { RawRequest, SigningOptions } from "../../integration/api/harness.ts";
import type { HostCall } from "../../fixtures/fake-host.ts";
import type { Expected, Json } from "./match.ts";
import type { OperationName } from "./operations.ts";
import type { HostFailure, ServiceSettings } from "./service.ts";

export interface Case {
  readonly name: string;
  readonly service?: ServiceSettings;
  readonly steps: readonly Step[];
}

export type Step = CallStep | UntilStep | RawStep | HostStep | ServiceStep;

/** Whose key signs. */
export type Caller = "root" | "other";

/** One call of an operation through a client, and its answer to the byte. */
export interface CallStep {
  readonly call: OperationName;
  readonly input?: Readonly<Record<string, Json>>;
  readonly as?: Caller;
  readonly region?: string;
  /** Of a success: its status is the operation's own. Left out, any success will do. */
  readonly answer?: Expected;
  readonly refusal?: Refusal;
  /** Body of a protocol other than JSON; `answer` is then what the client makes of it. */
  readonly text?: RegExp;
  /** Names for `<name>`, each with the path of the member it stands for. */
  readonly keep?: Readonly<Record<string, string>>;
}

export interface Refusal {
  readonly status: number;
  /** Name in `x-amzn-errortype`. */
  readonly type: string;
  /** The whole body. */
  readonly body: Expected;
  readonly headers?: Readonly<Record<string, string | RegExp>>;
}

/** Calls until a member of the answer has a value, for a bounded time. */
export interface UntilStep {
  readonly until: OperationName;
  readonly input: Readonly<Record<string, Json>>;
  /** Path and value; `refused` waits for the first refusal instead. */
  readonly has: readonly [path: string, value: Json] | "refused";
}

/** A request that no client would send, or one signed in a way that none would. */
export interface RawStep {
  readonly raw: RawRequest;
  /** As it stands, without a signature, when false. */
  readonly sign?: SigningChoice | false;
  readonly status: number;
  /** `x-amzn-errortype`; absent means that there must be none. */
  readonly type?: string;
  /** Of the JSON body. */
  readonly body?: Expected;
  /** The body as text. */
  readonly text?: string | RegExp;
  readonly headers?: Readonly<Record<string, string | RegExp>>;
}

export type SigningChoice = Omit<SigningOptions, "date"> & {
  /** How long ago the request was signed; negative for the future. */
  readonly ageSeconds?: number;
  /** In the query instead of a header, good for five minutes. */
  readonly inQuery?: boolean;
};

/** What happens on the host: a call waits until it is released, or fails, or a microVM's VMM dies. */
export type HostStep =
  | { readonly host: "hold" | "release"; readonly call: HostCall }
  | { readonly host: "fail"; readonly call: HostCall; readonly failure: HostFailure }
  | { readonly host: "kill"; readonly microvm: string; readonly reason: string };

export type ServiceStep =
  | { readonly service: "restart" }
  /** Lets time pass for the domain; signatures keep the real one. */
  | { readonly service: "pass"; readonly seconds: number };
