import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { ServiceError } from "../../../src/errors.ts";
import { locateAssets } from "../../../src/setup/assets.ts";
import type { RunCommand } from "../../../src/setup/command.ts";
import { runChecks } from "../../../src/setup/doctor.ts";
import {
  DEVELOPMENT_PACKAGES,
  RUNTIME_PACKAGES,
  SETUP_PACKAGES,
} from "../../../src/setup/packages.ts";
import { setUp } from "../../../src/setup/setup.ts";
import { temporaryDirectory } from "./temporary.ts";

const signal = new AbortController().signal;

const ALL_PACKAGES = [...RUNTIME_PACKAGES, ...SETUP_PACKAGES, ...DEVELOPMENT_PACKAGES];

/** A machine with those packages and a good cargo, on which every other program fails. */
function machineWith(packages: readonly string[]): RunCommand {
  return async (program) => {
    if (program === "dpkg-query") return packages.map((name) => `${name} installed\n`).join("");
    if (program === "cargo") return "cargo 1.99.0\n";
    throw new ServiceError("SETUP_FAILED", `Command "${program}" exited with 100: no network`);
  };
}

describe("setUp", () => {
  it("says what to type when packages are missing and it is not root", async () => {
    await using directory = await temporaryDirectory();
    const present = ALL_PACKAGES.map(({ name }) => name).filter((name) => name !== "buildah");
    const deps = {
      run: machineWith(present),
      write: () => undefined,
      now: () => 0,
      isRoot: false,
    };
    const options = { dataDir: directory.path, refresh: false, development: false };
    await assert.rejects(setUp(deps, options, signal), {
      code: "SETUP_FAILED",
      message: /run as root ".*apt-get install --no-install-recommends buildah"$/,
    });
  });

  it("names the step that failed, what to do, and leaves no half-made product", async () => {
    await using directory = await temporaryDirectory();
    const lines: string[] = [];
    const deps = {
      run: machineWith(ALL_PACKAGES.map(({ name }) => name)),
      write: (line: string) => void lines.push(line),
      now: () => 0,
      isRoot: true,
    };
    const options = { dataDir: directory.path, refresh: false, development: true };
    await assert.rejects(setUp(deps, options, signal), {
      code: "SETUP_FAILED",
      message:
        /^Cannot make the guest kernel: .*no network; mend that and run "torpor setup" again/,
    });
    assert.deepEqual(lines.slice(0, 1), ["[1/5] packages: all there (0.0 s)"]);
    assert.deepEqual(await readdir(path.join(directory.path, "assets")), []);
  });
});

describe("locateAssets", () => {
  it("names what is missing and the command that makes it", async () => {
    await using directory = await temporaryDirectory();
    await assert.rejects(locateAssets(directory.path), {
      code: "SETUP_FAILED",
      message: `Cannot use "${directory.path}": the kernel is missing; run "torpor setup --data-dir ${directory.path}"`,
      details: { missing: "kernel" },
    });
  });

  it("does not use a product made from other inputs", async () => {
    await using directory = await temporaryDirectory();
    const product = path.join(directory.path, "assets/kernel-0123456789abcdef");
    await mkdir(product, { recursive: true });
    const record = { name: "kernel", fingerprint: "of another day", upstream: "", createdAt: 1 };
    const text = JSON.stringify({ ...record, facts: {}, files: [] });
    await writeFile(path.join(product, "product.json"), text);
    await assert.rejects(locateAssets(directory.path), /the kernel is out of date; run/);
  });
});

describe("runChecks", () => {
  it("reports every unmet requirement with what mends it, and rejects for none", async () => {
    await using directory = await temporaryDirectory();
    const present = RUNTIME_PACKAGES.map(({ name }) => name).filter((name) => name !== "nftables");
    const results = await runChecks(
      {
        run: machineWith(present),
        isRoot: false,
        probeAccelerator: async () => {
          throw new ServiceError("SETUP_FAILED", "no assets");
        },
        readResolver: async () => undefined,
      },
      directory.path,
      signal,
    );
    const byName = new Map(results.map((result) => [result.name, result]));
    const mendOf = (name: string) => byName.get(name)?.mend ?? "";
    assert.equal(mendOf("root"), "run torpor as root");
    assert.match(mendOf("packages"), /apt-get install --no-install-recommends nftables$/);
    assert.equal(mendOf("nftables"), "modprobe nf_tables nft_masq");
    assert.equal(mendOf("assets"), `torpor setup --data-dir ${directory.path}`);
    assert.equal(mendOf("accelerator"), `torpor setup --data-dir ${directory.path}`);
    assert.match(mendOf("resolver"), /DNS server/);
    assert.equal(byName.get("memory")?.isRequired, true);
    assert.ok(results.every(({ isMet, mend }) => isMet === (mend === undefined)));
  });

  it("tells which accelerator is used and why", async () => {
    await using directory = await temporaryDirectory();
    const results = await runChecks(
      {
        run: machineWith([]),
        isRoot: true,
        probeAccelerator: async () => ({ accelerator: "kvm", reason: "it boots" }),
        readResolver: async () => "10.0.0.53",
      },
      directory.path,
      signal,
    );
    const seen = (name: string) => results.find((result) => result.name === name)?.seen;
    assert.equal(seen("accelerator"), "KVM: it boots");
    assert.equal(seen("resolver"), "guests use 10.0.0.53");
  });
});
