import assert from "node:assert/strict";
import { mkdir, readdir, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import {
  ensureProduct,
  findProduct,
  type Product,
  productFile,
  type ProductSpec,
  pruneProducts,
} from "../../../src/setup/product.ts";
import { temporaryDirectory } from "./temporary.ts";

const signal = new AbortController().signal;

interface Workshop {
  readonly spec: ProductSpec;
  /** How often something was built. */
  readonly builds: () => number;
}

function workshop(home: string, changes: Partial<ProductSpec> = {}): Workshop {
  let count = 0;
  const spec: ProductSpec = {
    name: "kernel",
    home,
    fingerprint: "f1",
    async build(directory) {
      count += 1;
      await mkdir(path.join(directory, "modules"));
      await writeFile(path.join(directory, "vmlinux"), "kernel");
      await writeFile(path.join(directory, "modules/00-a.ko"), "module");
      return { release: "6.12" };
    },
    ...changes,
  };
  return { spec, builds: () => count };
}

const ensure = (spec: ProductSpec, createdAt = 1, refresh = false) =>
  ensureProduct(spec, { refresh, now: () => createdAt }, signal);

describe("ensureProduct", () => {
  it("builds once and finds the product from then on", async () => {
    await using home = await temporaryDirectory();
    const { spec, builds } = workshop(home.path);
    const first = await ensure(spec);
    const second = await ensure(spec);
    assert.deepEqual([first.isNew, second.isNew, builds()], [true, false, 1]);
    assert.equal(second.product.directory, first.product.directory);
    assert.equal(second.product.facts["release"], "6.12");
    assert.match(path.basename(first.product.directory), /^kernel-[0-9a-f]{16}$/);
  });

  it("lets every user read what is in it", async () => {
    await using home = await temporaryDirectory();
    const { product } = await ensure(workshop(home.path).spec);
    assert.equal((await stat(product.directory)).mode & 0o777, 0o755);
  });

  it("builds again when an input changes and keeps the old product", async () => {
    await using home = await temporaryDirectory();
    const { spec, builds } = workshop(home.path);
    await ensure(spec);
    const { isNew } = await ensure({ ...spec, fingerprint: "f2" });
    assert.deepEqual([isNew, builds()], [true, 2]);
    assert.equal((await readdir(home.path)).length, 2);
  });

  it("leaves nothing behind when the build fails", async () => {
    await using home = await temporaryDirectory();
    const failure = new Error("disk full");
    const { spec } = workshop(home.path, {
      async build(directory) {
        await writeFile(path.join(directory, "vmlinux"), "half");
        throw failure;
      },
    });
    await assert.rejects(ensure(spec), failure);
    assert.deepEqual(await readdir(home.path), []);
  });

  for (const [damage, inflict] of [
    ["is cut short", (product: Product) => truncate(path.join(product.directory, "vmlinux"), 2)],
    [
      "has an unreadable record",
      (product: Product) => writeFile(path.join(product.directory, "product.json"), "{"),
    ],
  ] as const) {
    it(`builds a product again that ${damage}`, async () => {
      await using home = await temporaryDirectory();
      const { spec, builds } = workshop(home.path);
      const { product } = await ensure(spec);
      await inflict(product);
      assert.equal(await findProduct(spec), undefined);
      assert.equal((await ensure(spec)).isNew, true);
      assert.equal(builds(), 2);
      assert.notEqual(await findProduct(spec), undefined);
    });
  }

  it("asks the archive only to build or to refresh", async () => {
    await using home = await temporaryDirectory();
    let version = "6.12-1";
    let questions = 0;
    const { spec, builds } = workshop(home.path, {
      resolveUpstream: async () => {
        questions += 1;
        return version;
      },
    });
    await ensure(spec, 1);
    await ensure(spec, 2);
    assert.equal(questions, 1);
    assert.equal((await ensure(spec, 3, true)).isNew, false);
    version = "6.12-2";
    const { isNew, product } = await ensure(spec, 4, true);
    assert.deepEqual([isNew, product.upstream, builds(), questions], [true, "6.12-2", 2, 3]);
    assert.equal((await findProduct(spec))?.upstream, "6.12-2");
  });
});

describe("pruneProducts", () => {
  it("keeps the product in use and the one before it", async () => {
    await using home = await temporaryDirectory();
    const { spec } = workshop(home.path);
    const directories: string[] = [];
    for (const [index, fingerprint] of ["f1", "f2", "f3"].entries()) {
      const { product } = await ensure({ ...spec, fingerprint }, index);
      directories.push(path.basename(product.directory));
      if (fingerprint === "f3") await pruneProducts(product);
    }
    assert.deepEqual((await readdir(home.path)).sort(), directories.slice(1).sort());
  });

  it("removes half-made products of its own name only", async () => {
    await using home = await temporaryDirectory();
    await mkdir(path.join(home.path, ".building-kernel-x1"));
    await mkdir(path.join(home.path, ".building-agent-x1"));
    const { product } = await ensure(workshop(home.path).spec);
    await pruneProducts(product);
    const left = [".building-agent-x1", path.basename(product.directory)];
    assert.deepEqual((await readdir(home.path)).sort(), left.sort());
  });
});

describe("productFile", () => {
  it("refuses a file the product does not hold", async () => {
    await using home = await temporaryDirectory();
    const { product } = await ensure(workshop(home.path).spec);
    assert.equal(
      productFile(product, "modules/00-a.ko"),
      path.join(product.directory, "modules/00-a.ko"),
    );
    assert.throws(() => productFile(product, "System.map"), { code: "SETUP_FAILED" });
  });
});
