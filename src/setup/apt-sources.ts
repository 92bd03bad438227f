// Reads the machine's own apt sources, so that torpor fetches from the mirror its owner chose, and writes such sources
// for a private apt or for a guest. Both of apt's formats are read: deb822 (`.sources`) and one-line (`.list`).

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { hasErrorCode, ServiceError } from "../errors.ts";

export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Key files, or one key in full; empty when the source trusts apt's default keys. */
  readonly signedBy: string;
  /** apt's `Trusted` and `Check-Valid-Until`, as the machine's owner set them. */
  readonly options: Readonly<Record<string, string>>;
}

/** The archives of one Debian release: the main one and, when the machine uses it, the one for security updates. */
export interface DebianArchive {
  readonly main: AptSource;
  readonly security: AptSource | undefined;
}

const KEPT_OPTIONS: Readonly<Record<string, string>> = {
  trusted: "Trusted",
  "check-valid-until": "Check-Valid-Until",
};

/** Parses a `.sources` file; entries that are switched off or have no binary packages are left out. */
export function parseDeb822Sources(text: string): AptSource[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  return lines
    .join("\n")
    .split(/\n[ \t]*\n/)
    .map(parseFields)
    .filter((fields) => fields.get("enabled")?.toLowerCase() !== "no")
    .filter((fields) => words(fields.get("types")).includes("deb"))
    .map((fields) => ({
      uris: words(fields.get("uris")),
      suites: words(fields.get("suites")),
      components: words(fields.get("components")),
      signedBy: fields.get("signed-by") ?? "",
      options: keptOptions([...fields]),
    }));
}

function parseFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = "";
  for (const line of stanza.split("\n")) {
    const match = /^([A-Za-z-]+):[ \t]*(.*)$/.exec(line);
    if (match?.[1] !== undefined) {
      last = match[1].toLowerCase();
      fields.set(last, (match[2] ?? "").trim());
    } else if (last !== "" && /^[ \t]/.test(line)) {
      fields.set(last, `${fields.get(last) ?? ""}\n${line.trimEnd()}`);
    }
  }
  return fields;
}

function words(value: string | undefined): string[] {
  return (value ?? "").split(/\s+/).filter((word) => word !== "");
}

function keptOptions(entries: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(
    entries.flatMap(([key, value]) => {
      const name = KEPT_OPTIONS[key];
      return name === undefined ? [] : [[name, value]];
    }),
  );
}

/** Parses a `.list` file. */
export function parseOneLineSources(text: string): AptSource[] {
  return text.split("\n").flatMap((raw) => {
    const line = raw.replace(/#.*/, "").trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (match === null) return [];
    const [, optionText = "", uri = "", suite = "", components = ""] = match;
    const options = words(optionText).map((word) => {
      const at = word.indexOf("=");
      return [word.slice(0, at).toLowerCase(), word.slice(at + 1)] as const;
    });
    const signedBy = options.find(([key]) => key === "signed-by")?.[1] ?? "";
    return [
      {
        uris: [uri],
        suites: [suite],
        components: words(components),
        signedBy: signedBy.replaceAll(",", " "),
        options: keptOptions(options),
      },
    ];
  });
}

/** All sources of the machine, in apt's order. `etc` is apt's configuration directory. */
export async function readAptSources(etc = "/etc/apt"): Promise<AptSource[]> {
  const directory = path.join(etc, "sources.list.d");
  const names = (await readIfExists(() => readdir(directory), [])).sort();
  const files = [
    path.join(etc, "sources.list"),
    ...names.map((name) => path.join(directory, name)),
  ];
  const sources = await Promise.all(
    files.map(async (file) => {
      const isDeb822 = file.endsWith(".sources");
      if (!isDeb822 && !file.endsWith(".list")) return [];
      const text = await readIfExists(() => readFile(file, "utf8"), "");
      return isDeb822 ? parseDeb822Sources(text) : parseOneLineSources(text);
    }),
  );
  return Promise.all(sources.flat().map(resolveMirrorList));
}

async function readIfExists<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return otherwise;
    throw error;
  }
}

/** `mirror+file:` names a list on this machine, of no use elsewhere: its first mirror takes its place. */
async function resolveMirrorList(source: AptSource): Promise<AptSource> {
  const uris = await Promise.all(
    source.uris.map(async (uri) => {
      const list = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(uri)?.[1];
      if (list === undefined) return uri;
      const text = await readIfExists(() => readFile(list, "utf8"), "");
      const entries = text.split("\n").filter((line) => !line.startsWith("#"));
      return words(entries.join("\n")).find((word) => word.includes("://")) ?? uri;
    }),
  );
  return { ...source, uris };
}

/** Picks the Debian archives among a machine's sources. Rejects SETUP_FAILED when it has none for its release. */
export function findDebianArchive(sources: readonly AptSource[], codename: string): DebianArchive {
  const withSuite = (suite: string) =>
    sources.find(
      ({ uris, suites, components }) =>
        suites.includes(suite) && components.includes("main") && uris.some(isFetchable),
    );
  const main = withSuite(codename) ?? withSuite("stable");
  if (main === undefined) {
    throw new ServiceError(
      "SETUP_FAILED",
      `Cannot find a Debian mirror: no apt source of this machine has suite "${codename}" with component "main"; ` +
        'add one to "/etc/apt/sources.list.d/debian.sources"',
    );
  }
  return { main, security: withSuite(`${codename}-security`) ?? withSuite("stable-security") };
}

function isFetchable(uri: string): boolean {
  return !uri.startsWith("cdrom:");
}

/** The sources of one release as deb822 text; `keyring` replaces the machine's own key setting when given. */
export function formatRelease(
  archive: DebianArchive,
  suites: { readonly main: readonly string[]; readonly security: readonly string[] },
  keyring?: string,
): string {
  const stanza = (source: AptSource, names: readonly string[]) => {
    const signedBy = keyring ?? source.signedBy;
    return [
      "Types: deb",
      `URIs: ${source.uris.filter(isFetchable).join(" ")}`,
      `Suites: ${names.join(" ")}`,
      "Components: main",
      ...(signedBy === "" ? [] : [`Signed-By: ${signedBy}`]),
      ...Object.entries(source.options).map(([name, value]) => `${name}: ${value}`),
    ].join("\n");
  };
  const stanzas = [
    ...(suites.main.length === 0 ? [] : [stanza(archive.main, suites.main)]),
    ...(archive.security === undefined || suites.security.length === 0
      ? []
      : [stanza(archive.security, suites.security)]),
  ];
  return `${stanzas.join("\n\n")}\n`;
}
