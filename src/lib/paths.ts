// Names of what lives under the data directory; nothing else spells these paths.

import path from "node:path";

export interface DataPaths {
  readonly root: string;
  readonly database: string;
  readonly keys: string;
  /** Content-addressed set-up products: kernel, agent, initramfs. */
  readonly assets: string;
  /** Root file systems that stand in for registry base images. */
  readonly bases: string;
  readonly images: string;
  readonly microvms: string;
  /** Working directories of builds; emptied at start. */
  readonly builds: string;
  readonly artifacts: string;
  /** buildah's layers and images. */
  readonly containers: string;
  readonly logs: string;
}

/** The layout under `root`, an absolute path. */
export function dataPaths(root: string): DataPaths {
  const at = (name: string) => path.join(root, name);
  return {
    root,
    database: at("torpor.db"),
    keys: at("keys"),
    assets: at("assets"),
    bases: at("bases"),
    images: at("images"),
    microvms: at("microvms"),
    builds: at("builds"),
    artifacts: at("artifacts"),
    containers: at("containers"),
    logs: at("logs"),
  };
}
