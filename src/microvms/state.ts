// The states of a microVM and the moves between them. The store checks a move against this
// table in the transaction that makes it; docs/lifecycle.md shows the same table with who makes each move.

export const TRANSITIONS = {
  PENDING: ["RUNNING", "TERMINATING"],
  RUNNING: ["SUSPENDING", "TERMINATING"],
  SUSPENDING: ["SUSPENDED", "RUNNING", "TERMINATING"],
  SUSPENDED: ["RUNNING", "TERMINATING"],
  TERMINATING: ["TERMINATED"],
  TERMINATED: [],
} as const satisfies Record<string, readonly string[]>;

export type MicrovmState = keyof typeof TRANSITIONS;

export const MICROVM_STATES = Object.keys(TRANSITIONS) as MicrovmState[];

/** Whether the table allows the move. A state may not move to itself. */
export function canMove(from: MicrovmState, to: MicrovmState): boolean {
  return (TRANSITIONS[from] as readonly string[]).includes(to);
}
