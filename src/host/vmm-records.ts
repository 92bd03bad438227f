// The record of a VMM process: written before the process is started, removed after it is gone, so that a later
// service process finds every VMM an earlier one left behind. Records live on tmpfs beside the VMM's sockets: they
// describe processes, and both are gone after a reboot.

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode } from "../errors.ts";
import type { VmHardware } from "../vmm/driver.ts";

const hardwareSchema = z.object({
  driver: z.string(),
  machine: z.string(),
  accelerator: z.enum(["kvm", "tcg"]),
  cpuModel: z.string(),
  memoryMiB: z.number(),
  vcpus: z.number(),
}) satisfies z.ZodType<VmHardware>;

const recordSchema = z.object({
  vmmId: z.uuid(),
  /** Null for the VMM of a build. */
  microvmId: z.string().nullable(),
  imageRef: z.string(),
  slotIndex: z.number().int(),
  /** `launching` until the guest runs and knows that it is a clone; builds stay so. */
  phase: z.enum(["launching", "running"]),
  memoryPath: z.string(),
  /** Null for a VMM that was booted; such a one is never adopted. */
  hardware: hardwareSchema.nullable(),
});

export type VmmRecord = Readonly<z.output<typeof recordSchema>>;

/** The directory of one VMM under the run-time directory. */
export function vmmRunDir(vmmsDir: string, vmmId: string): string {
  return path.join(vmmsDir, vmmId);
}

/** Makes the VMM's directory with its record in it. */
export async function writeVmmRecord(vmmsDir: string, record: VmmRecord): Promise<void> {
  // Others may pass through but not look: the VMM's own user owns only its own directory.
  await mkdir(vmmsDir, { recursive: true, mode: 0o711 });
  const directory = vmmRunDir(vmmsDir, record.vmmId);
  await mkdir(directory, { mode: 0o700 });
  await replaceRecord(vmmsDir, record);
}

/** Records that the launch is complete: from now on the guest is taken over as it is. */
export async function markLaunched(vmmsDir: string, record: VmmRecord): Promise<void> {
  await replaceRecord(vmmsDir, { ...record, phase: "running" });
}

async function replaceRecord(vmmsDir: string, record: VmmRecord): Promise<void> {
  const file = recordFile(vmmsDir, record.vmmId);
  await writeFile(`${file}.tmp`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${file}.tmp`, file);
}

/** Removes the record and everything else of a VMM that is gone; the record goes last. Safe to call twice. */
export async function removeVmmRecord(vmmsDir: string, vmmId: string): Promise<void> {
  await rm(vmmRunDir(vmmsDir, vmmId), { recursive: true, force: true });
  await rm(recordFile(vmmsDir, vmmId), { force: true });
}

/** Every record there is; `unreadable` names directories without a usable one, which no VMM was started for. */
export async function readVmmRecords(
  vmmsDir: string,
): Promise<{ records: VmmRecord[]; unreadable: string[] }> {
  const records: VmmRecord[] = [];
  const unreadable: string[] = [];
  const names = new Set(
    (await listDirectory(vmmsDir)).map((name) => name.replace(/\.json(\.tmp)?$/, "")),
  );
  for (const vmmId of names) {
    const record = await readVmmRecord(recordFile(vmmsDir, vmmId));
    if (record === undefined) unreadable.push(vmmId);
    else records.push(record);
  }
  return { records, unreadable };
}

// Beside the directory, not in it: the directory belongs to the unprivileged VMM, which must not write its own record.
function recordFile(vmmsDir: string, vmmId: string): string {
  return path.join(vmmsDir, `${vmmId}.json`);
}

async function readVmmRecord(file: string): Promise<VmmRecord | undefined> {
  try {
    const parsed = recordSchema.safeParse(JSON.parse(await readFile(file, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function listDirectory(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}
