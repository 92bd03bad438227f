// The states of an image and of its versions and the moves between them. The store checks
// moves against these tables in the transaction that makes them.

import type { ImageState, ImageVersionState } from "./records.ts";

export const IMAGE_TRANSITIONS = {
  CREATING: ["CREATED", "CREATE_FAILED"],
  CREATED: ["UPDATING", "DELETING"],
  CREATE_FAILED: ["UPDATING", "DELETING"],
  UPDATING: ["UPDATED", "UPDATE_FAILED"],
  UPDATED: ["UPDATING", "DELETING"],
  UPDATE_FAILED: ["UPDATING", "DELETING"],
  DELETING: ["DELETE_FAILED", "DELETED"],
  DELETE_FAILED: ["DELETING"],
  DELETED: [],
} as const satisfies Record<ImageState, readonly ImageState[]>;

export const VERSION_TRANSITIONS = {
  PENDING: ["IN_PROGRESS", "FAILED"],
  // Back to PENDING: the service ended during the build, which starts over.
  IN_PROGRESS: ["PENDING", "SUCCESSFUL", "FAILED"],
  SUCCESSFUL: ["DELETING"],
  FAILED: ["DELETING"],
  DELETING: ["DELETED", "DELETE_FAILED"],
  DELETE_FAILED: ["DELETING"],
  DELETED: [],
} as const satisfies Record<ImageVersionState, readonly ImageVersionState[]>;

/** Whether the table allows the move. */
export function canMoveImage(from: ImageState, to: ImageState): boolean {
  return (IMAGE_TRANSITIONS[from] as readonly ImageState[]).includes(to);
}

/** Whether the table allows the move. */
export function canMoveVersion(from: ImageVersionState, to: ImageVersionState): boolean {
  return (VERSION_TRANSITIONS[from] as readonly ImageVersionState[]).includes(to);
}
