// A service process that does one build, to be killed in the middle of it.

import { buildRootfs } from "../../../src/builder/build-container.ts";
import { silentLog } from "../../../src/lib/log.ts";

const [, , storageDir = "", request = "{}"] = process.argv;

await buildRootfs(
  { storageDir, log: silentLog() },
  { ...JSON.parse(request), onLog: (line: string) => console.log(line) },
  AbortSignal.timeout(60_000),
);
