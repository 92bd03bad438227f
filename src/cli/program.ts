// Where this program is, for commands that a user is to copy.

import path from "node:path";

export const TORPOR = path.resolve(import.meta.dirname, "../../bin/torpor");
