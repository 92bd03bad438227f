// A service process that can be killed: makes a pool as its arguments say, leases slots, prints their numbers, waits.

import { silentLog } from "../../../src/lib/log.ts";
import type { SlotPoolOptions } from "../../../src/network/slots.ts";
import { createSlotPool } from "../../../src/network/slots.ts";

const [options = "{}", leases = "[]"] = process.argv.slice(2);
const pool = await createSlotPool({ log: silentLog() }, JSON.parse(options) as SlotPoolOptions);
const indexes: number[] = [];
for (const internet of JSON.parse(leases) as boolean[]) {
  const slot = await pool.lease({ internet }, AbortSignal.timeout(20_000));
  indexes.push(slot.index);
}
process.stdout.write(`${JSON.stringify(indexes)}\n`);
setInterval(() => undefined, 60_000);
