// The program that loads servers: each message is a `Load`, each answer a `LoadResult`, or what went wrong.

import { type Load, type LoadResult, runLoad } from "./load.ts";

export type LoaderAnswer = LoadResult | { readonly failure: string };

process.on("message", (load: Load) => {
  runLoad(load).then(
    (result) => process.send?.(result satisfies LoaderAnswer),
    (error: unknown) => process.send?.({ failure: String(error) } satisfies LoaderAnswer),
  );
});
process.send?.("ready");
