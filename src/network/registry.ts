// Who has which slot number on this host. A claim is a file named after the number, shared by every torpor service of the
// machine; it is written before anything of the slot is made and removed after all of it is gone, so whatever a crash
// leaves is found from it. Lives in /run: a reboot forgets claims together with what they stood for.

import { link, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { hasErrorCode } from "../errors.ts";
import type { SlotPlan } from "./addresses.ts";

export const CLAIMS = "/run/torpor/slots";

/** The names go into commands, so a claim is only believed when they have the form this folder gives them. */
const name = z.string().regex(/^tp-[0-9a-f]{6}-\d{1,5}$/);
const schema = z.object({
  dataDir: z.string(),
  /** Service process that owns the slot. */
  pid: z.number().int(),
  /** Start time of that process in clock ticks since boot, because pids are used again. */
  startTime: z.string(),
  plan: z.object({
    slot: z.object({
      index: z.number().int(),
      networkNamespace: name,
      tapName: z.string(),
      address: z.ipv4(),
      uid: z.number().int(),
      gid: z.number().int(),
    }),
    hostLink: name,
    hostAddress: z.ipv4(),
  }),
});

export interface Claim {
  readonly dataDir: string;
  readonly pid: number;
  readonly startTime: string;
  readonly plan: SlotPlan;
}

/** The claim that this process makes for `plan`. */
export async function ownClaim(dataDir: string, plan: SlotPlan): Promise<Claim> {
  const startTime = (await startTimeOf(process.pid)) ?? "";
  return { dataDir, pid: process.pid, startTime, plan };
}

/** Claims the slot number of `claim`; false when it is taken. */
export async function addClaim(claim: Claim): Promise<boolean> {
  // Made by itself: in one call with its child it would get the child's mode, and VMMs, which are other users, have
  // their sockets beside the claims.
  await mkdir(path.dirname(CLAIMS), { recursive: true, mode: 0o711 });
  await mkdir(CLAIMS, { recursive: true, mode: 0o700 });
  const temporary = await writeTemporary(claim);
  try {
    // Unlike an exclusive open, a link appears with its content, so there is no half-written claim.
    await link(temporary, claimPath(claim.plan.slot.index));
    return true;
  } catch (error) {
    if (hasErrorCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Replaces the claim of the same number, which the caller owns. */
export async function replaceClaim(claim: Claim): Promise<void> {
  await rename(await writeTemporary(claim), claimPath(claim.plan.slot.index));
}

/** Takes a dead owner's claim away; of several that try, one gets true. */
export async function takeClaimAway(index: number): Promise<boolean> {
  const aside = temporaryPath(index);
  try {
    await rename(claimPath(index), aside);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return false;
    throw error;
  }
  await rm(aside, { force: true });
  return true;
}

/** Frees a slot number, unless it has passed to another data directory. */
export async function dropClaim(index: number, dataDir: string): Promise<void> {
  if ((await readClaim(index))?.dataDir !== dataDir) return;
  await rm(claimPath(index), { force: true });
}

/** The claim of one slot number; undefined when it is free or the file is not a claim. */
export async function readClaim(index: number): Promise<Claim | undefined> {
  try {
    return schema.safeParse(JSON.parse(await readFile(claimPath(index), "utf8"))).data;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Every claimed slot number. */
export async function claimedIndexes(): Promise<Set<number>> {
  const names = await listClaims();
  return new Set(names.filter((entry) => /^\d+$/.test(entry)).map(Number));
}

/** True while the service process that made the claim lives. */
export async function isOwnerAlive(claim: Claim): Promise<boolean> {
  return (await startTimeOf(claim.pid)) === claim.startTime;
}

/** Removes what processes that died within `addClaim` left. */
export async function removeTemporaries(): Promise<void> {
  for (const entry of await listClaims()) {
    const pid = /^\.\d+\.(\d+)\./.exec(entry)?.[1];
    if (pid === undefined || (await startTimeOf(Number(pid))) !== undefined) continue;
    await rm(path.join(CLAIMS, entry), { force: true });
  }
}

async function listClaims(): Promise<string[]> {
  try {
    return await readdir(CLAIMS);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function writeTemporary(claim: Claim): Promise<string> {
  const file = temporaryPath(claim.plan.slot.index);
  await writeFile(file, JSON.stringify(claim), { mode: 0o600, flag: "wx" });
  return file;
}

function claimPath(index: number): string {
  return path.join(CLAIMS, String(index));
}

function temporaryPath(index: number): string {
  return path.join(CLAIMS, `.${index}.${process.pid}.${Math.random().toString(36).slice(2)}`);
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The program's name comes second, in parentheses, and may hold spaces and parentheses itself.
    const [state, ...fields] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    // A killed process whose parent has not asked for its exit yet.
    return state === "Z" || state === "X" ? undefined : fields[18];
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
