import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  hasPvhEntry,
  isStaticProgram,
  parseElf,
  readModuleInformation,
} from "../../../src/setup/elf.ts";
import { makeElf, makeNote } from "./elf-file.ts";

const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;

describe("parseElf", () => {
  it("refuses a file that is not ELF", () => {
    assert.throws(() => parseElf(Buffer.from("#!/bin/sh\n".padEnd(80)), "the agent"), {
      code: "SETUP_FAILED",
      message: "Cannot read the agent: not an ELF file",
    });
  });

  it("refuses a 32-bit file", () => {
    const file = makeElf({});
    file[4] = 1;
    assert.throws(() => parseElf(file, "the agent"), { code: "SETUP_FAILED" });
  });

  it("refuses a file whose last segment is cut short", () => {
    const file = makeElf({ segments: [{ type: PT_LOAD, content: Buffer.alloc(100) }] });
    assert.throws(() => parseElf(file.subarray(0, 150), "the kernel"), /cut short/);
  });

  it("finds sections by name", () => {
    const file = makeElf({ sections: [{ name: ".text", content: Buffer.from("code") }] });
    const section = parseElf(file, "a file").sections.find(({ name }) => name === ".text");
    assert.equal(section?.content.toString(), "code");
  });
});

describe("hasPvhEntry", () => {
  const kernel = (...notes: Buffer[]) =>
    parseElf(
      makeElf({ segments: [{ type: PT_NOTE, content: Buffer.concat(notes) }] }),
      "the kernel",
    );

  it("finds the Xen entry note behind others", () => {
    const other = makeNote("GNU", 3, Buffer.alloc(5));
    assert.equal(hasPvhEntry(kernel(other, makeNote("Xen", 18, Buffer.alloc(8)))), true);
  });

  it("does not take another owner's note of the same type", () => {
    assert.equal(hasPvhEntry(kernel(makeNote("GNU", 18, Buffer.alloc(8)))), false);
  });

  it("does not take another Xen note", () => {
    assert.equal(hasPvhEntry(kernel(makeNote("Xen", 1, Buffer.alloc(8)))), false);
  });
});

describe("isStaticProgram", () => {
  it("says no for a program that names a loader", () => {
    const content = Buffer.from("/lib64/ld-linux-x86-64.so.2\0");
    const program = makeElf({ segments: [{ type: PT_INTERP, content }] });
    assert.equal(isStaticProgram(parseElf(program, "a program")), false);
  });

  it("says yes for a program that does not", () => {
    const program = makeElf({ segments: [{ type: PT_LOAD, content: Buffer.alloc(8) }] });
    assert.equal(isStaticProgram(parseElf(program, "a program")), true);
  });
});

describe("readModuleInformation", () => {
  it("keeps every value of a key", () => {
    const content = Buffer.from("depends=failover,net_failover\0alias=a\0alias=b=c\0");
    const module = makeElf({ sections: [{ name: ".modinfo", content }] });
    const information = readModuleInformation(parseElf(module, "a module"));
    assert.deepEqual(information.get("depends"), ["failover,net_failover"]);
    assert.deepEqual(information.get("alias"), ["a", "b=c"]);
  });

  it("is empty for a file without that section", () => {
    assert.equal(readModuleInformation(parseElf(makeElf({}), "a module")).size, 0);
  });
});
