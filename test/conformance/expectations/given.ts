// Steps that bring about what a case begins with.

import type { Step } from "../support/cases.ts";
import type { Json } from "../support/match.ts";
import { FLASK, imageArn, REQUIRED } from "./shapes.ts";

type Input = Readonly<Record<string, Json>>;

/** An image that is built: `flask` unless named otherwise. */
export function anImage(input: Input & { readonly name?: string } = {}): readonly Step[] {
  const { name = "flask" } = input;
  return [
    { call: "CreateMicrovmImage", input: { ...REQUIRED, ...input, name } },
    {
      until: "GetMicrovmImage",
      input: { imageIdentifier: imageArn(name) },
      has: ["state", "CREATED"],
    },
  ];
}

/** A further version of `flask`, built. */
export function anUpdate(input: Input = {}): readonly Step[] {
  return [
    { call: "UpdateMicrovmImage", input: { imageIdentifier: FLASK, ...REQUIRED, ...input } },
    imageIs("UPDATED"),
  ];
}

/** A further version of `flask` whose build failed. */
export function aFailedUpdate(): readonly Step[] {
  return [
    {
      host: "fail",
      call: "build",
      failure: { code: "BUILD_FAILED", message: "The container image build failed." },
    },
    { call: "UpdateMicrovmImage", input: { imageIdentifier: FLASK, ...REQUIRED } },
    imageIs("UPDATE_FAILED"),
  ];
}

/** Waits for the state of `flask`. */
export function imageIs(state: string): Step {
  return { until: "GetMicrovmImage", input: { imageIdentifier: FLASK }, has: ["state", state] };
}

/** A microVM of `flask`, kept as `<microvmId>`, `<endpoint>` and `<startedAt>`, in PENDING or later. */
export function aLaunch(input: Input = {}): Step {
  return {
    call: "RunMicrovm",
    input: { imageIdentifier: FLASK, ...input },
    keep: { microvmId: "microvmId", endpoint: "endpoint", startedAt: "startedAt" },
  };
}

/** Waits for the state of `<microvmId>`. */
export function microvmIs(state: string, microvmId = "<microvmId>"): Step {
  return {
    until: "GetMicrovm",
    input: { microvmIdentifier: microvmId },
    has: ["state", state],
  };
}

/** An image and a microVM of it that runs. */
export function aMicrovm(input: Input = {}): readonly Step[] {
  return [...anImage(), aLaunch(input), microvmIs("RUNNING")];
}

export const theMicrovm = { microvmIdentifier: "<microvmId>" };

export function aSuspendedMicrovm(input: Input = {}): readonly Step[] {
  return [
    ...aMicrovm(input),
    { call: "SuspendMicrovm", input: theMicrovm },
    microvmIs("SUSPENDED"),
  ];
}

export function aTerminatedMicrovm(input: Input = {}): readonly Step[] {
  return [
    ...aMicrovm(input),
    { call: "TerminateMicrovm", input: theMicrovm },
    microvmIs("TERMINATED"),
  ];
}
