// The agent's API: HTTP/1.1 with JSON bodies on the guest's address, port AGENT_PORT, answered only to the slot's
// gateway address. The first call after a boot is `POST /v1/start`; it carries the secret that every later call must
// send as `authorization: Bearer {secret}`. The secret lives in the agent's memory only and so is kept by a snapshot;
// no process of the user runs before it is set.
//
//   POST /v1/start      StartRequest    → 200 {}           prepares the root, starts the user's container; 200 also when the
//                                         app could not be started: the first event says `failed` and why
//   POST /v1/restored   RestoredRequest → 200 {}           clock, entropy, connections: first call after every restore. Ends
//                                         every TCP connection that is not loopback but the one it came on, the agent's included.
//                                         Safe to repeat
//   GET  /v1/events                     → 200 ndjson of AgentEvent, held open; first line is the present AppStatus
//   POST /v1/hook       HookRequest     → 200 HookResponse calls the app's hook on 127.0.0.1
//   POST /v1/quiesce    {}              → 200 {}           syncs the guest's own disk before a snapshot
//   GET  /v1/logs?offset=N              → 200 bytes of the app's output from N on; header `x-torpor-log-start`: the offset
//                                         of the first byte sent (the agent keeps the last LOG_BYTES only). Beyond the end: none
//   POST /v1/exec       ExecRequest     → 200 ExecResponse runs a command in the app's container; 400 when it cannot be executed.
//                                         Killed with its process group when the caller goes away
//   GET  /v1/shell?session=ID[&output=N] → 101, `upgrade: torpor-shell`: starts a shell, or with `output` goes on with a session
//                                         of which the host has N bytes; header `x-torpor-shell-input`: bytes of input that the
//                                         agent has. Then frames (shell-frames.ts). The newest connection has the session; one
//                                         without any is hung up after a minute. 410: no such session (any more); 429: too many
//   POST /v1/poweroff   {}              → 200 {}           SIGTERM to the app, SIGKILL 3 s later, then power off
//   GET  /v1/listening?port=N           → 200 {"listening": bool}: does any process listen on that TCP port
//
// Errors, all with {"message"}: 401 wrong secret, 400 bad input, 404 no such route, 409 wrong order (before start, a second
// start, exec without a running app), 500 otherwise. Both sides ignore fields they do not know: a newer host meets the
// agent of an old snapshot. test/contract/agent-protocol/ holds golden bodies that both sides' tests read.

export const AGENT_PORT = 1023;
export const LOG_BYTES = 1024 * 1024;
/** Largest request and response body of the agent API. */
export const AGENT_BODY_LIMIT = 4 * 1024 * 1024;

export interface StartRequest {
  /** At least 32 hex digits. */
  readonly secret: string;
  readonly container: ContainerSpec;
  readonly clock: { readonly epochMs: number };
  /** Base64, 64 bytes from the host. */
  readonly entropy: string;
}

export interface ContainerSpec {
  /** ENTRYPOINT followed by CMD; never empty. */
  readonly args: readonly string[];
  /** `NAME=value`, in order; later ones win. */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** As the OCI image says it: "", "name", "uid", "name:group", "uid:gid". */
  readonly user: string;
  readonly hostname: string;
  /** Written to `/etc/resolv.conf`. */
  readonly nameservers: readonly string[];
  /** Lifts the usual container set of capabilities (`additionalOsCapabilities: ["ALL"]`). */
  readonly allCapabilities: boolean;
}

export interface RestoredRequest {
  readonly clock: { readonly epochMs: number };
  /** Base64, 64 bytes of fresh host randomness. */
  readonly entropy: string;
}

export type AppStatus =
  | { readonly status: "running"; readonly pid: number }
  | {
      readonly status: "exited";
      readonly exitCode: number | null;
      readonly signal: number | null;
      readonly lastOutput: string;
    }
  | { readonly status: "failed"; readonly reason: string };

/** After `exited` or `failed` the agent closes the stream and, 2 s later, powers the guest off. */
export type AgentEvent = AppStatus;

export interface HookRequest {
  readonly port: number;
  /** For example `/aws/lambda-microvms/runtime/v1/run`. */
  readonly path: string;
  readonly body: string;
  readonly timeoutMs: number;
}

export type HookResponse =
  | { readonly outcome: "answered"; readonly status: number }
  | { readonly outcome: "timeout" }
  | { readonly outcome: "refused"; readonly reason: string };

export interface ExecRequest {
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly timeoutMs: number;
}

export interface ExecResponse {
  /** Null when ended by a signal or the timeout. */
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly timedOut: boolean;
  /** Base64; each at most 1 MiB, the rest is dropped and `truncated` is true. */
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
}
