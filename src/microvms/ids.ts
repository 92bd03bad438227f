// The ids a microVM is known by.

import { randomBytes, randomUUID } from "node:crypto";

/** `microvm-{uuid}`. The service's uuids have version 3; ours have the shape but come from random bytes. */
export function newMicrovmId(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x30, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  const groups = [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ] as const;
  return `microvm-${groups.map(([from, to]) => hex.slice(from, to)).join("-")}`;
}

const MICROVM_ID = /^microvm-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether `text` has the form of a microVM's id; versions of uuids are not looked at. */
export function isMicrovmId(text: string): boolean {
  return MICROVM_ID.test(text);
}

/** Label of an endpoint host, unrelated to the microVM's id. */
export function newEndpointId(): string {
  return randomUUID();
}

/** Id of one VMM process. */
export function newVmmId(): string {
  return randomUUID();
}
