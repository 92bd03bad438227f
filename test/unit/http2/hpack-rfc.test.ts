// The examples of RFC 7541, Appendix C: what the blocks decode to, and the dynamic table after each.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { HpackReader } from "../../../src/http2/hpack-reader.ts";
import { HpackTable, STATIC_NAMES } from "../../../src/http2/hpack-table.ts";
import { hex } from "./blocks.ts";

interface Example {
  readonly block: string;
  readonly fields: readonly string[];
  /** Newest first. */
  readonly table: readonly string[];
  readonly tableBytes: number;
}

const LARGE = 1 << 20;
const LIMITS = { tableBytes: 4096, listBytes: LARGE, listFields: 100 };
/** A size update to 256: the examples of responses have a table of that size. */
const TO_256 = "3fe101";

function dynamicEntries(table: HpackTable): string[] {
  const entries: string[] = [];
  for (let index = STATIC_NAMES.length; index <= table.lastIndex; index += 1)
    entries.push(table.nameAt(index), table.valueAt(index));
  return entries;
}

function sizeOf(entries: readonly string[]): number {
  return entries.join("").length + (entries.length / 2) * 32;
}

function check(examples: readonly Example[], start = ""): void {
  const decoder = new HpackDecoder(LIMITS);
  const table = new HpackTable(4096, 4096);
  examples.forEach(({ block, fields, table: expected, tableBytes }, index) => {
    const bytes = hex(`${index === 0 ? start : ""}${block}`);
    const list = decoder.decode(bytes);
    assert.deepEqual([...list.pseudo, ...list.fields], fields);
    assert.ok(list.pseudo.every((text, at) => at % 2 === 1 || text.startsWith(":")));
    assert.equal(list.isTooLarge, false);
    const reader = new HpackReader(table, bytes);
    reader.readSizeUpdates(4096);
    while (!reader.isAtEnd) reader.readField();
    assert.deepEqual(dynamicEntries(table), expected);
    assert.equal(sizeOf(dynamicEntries(table)), tableBytes);
  });
}

test("C.2: each kind of representation", () => {
  const custom = ["custom-key", "custom-header"];
  check([
    {
      block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      fields: custom,
      table: custom,
      tableBytes: 55,
    },
  ]);
  const none = { table: [], tableBytes: 0 };
  check([
    { block: "040c 2f73 616d 706c 652f 7061 7468", fields: [":path", "/sample/path"], ...none },
    {
      block: "1008 7061 7373 776f 7264 0673 6563 7265 74",
      fields: ["password", "secret"],
      ...none,
    },
    { block: "82", fields: [":method", "GET"], ...none },
  ]);
});

const AUTHORITY = [":authority", "www.example.com"];
const NO_CACHE = ["cache-control", "no-cache"];
const CUSTOM = ["custom-key", "custom-value"];
const FIRST = [":method", "GET", ":scheme", "http", ":path", "/", ...AUTHORITY];
const THIRD = [":method", "GET", ":scheme", "https", ":path", "/index.html", ...AUTHORITY];
const REQUESTS = [
  { fields: FIRST, table: AUTHORITY, tableBytes: 57 },
  { fields: [...FIRST, ...NO_CACHE], table: [...NO_CACHE, ...AUTHORITY], tableBytes: 110 },
  {
    fields: [...THIRD, ...CUSTOM],
    table: [...CUSTOM, ...NO_CACHE, ...AUTHORITY],
    tableBytes: 164,
  },
];

const DATE_21 = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"];
const DATE_22 = ["date", "Mon, 21 Oct 2013 20:13:22 GMT"];
const PRIVATE = ["cache-control", "private"];
const LOCATION = ["location", "https://www.example.com"];
const GZIP = ["content-encoding", "gzip"];
const COOKIE = ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"];
const RESPONSES = [
  {
    fields: [":status", "302", ...PRIVATE, ...DATE_21, ...LOCATION],
    table: [...LOCATION, ...DATE_21, ...PRIVATE, ":status", "302"],
    tableBytes: 222,
  },
  {
    fields: [":status", "307", ...PRIVATE, ...DATE_21, ...LOCATION],
    table: [":status", "307", ...LOCATION, ...DATE_21, ...PRIVATE],
    tableBytes: 222,
  },
  {
    fields: [":status", "200", ...PRIVATE, ...DATE_22, ...LOCATION, ...GZIP, ...COOKIE],
    table: [...COOKIE, ...GZIP, ...DATE_22],
    tableBytes: 215,
  },
];

type Expected = Omit<Example, "block">;

function withBlocks(examples: readonly Expected[], blocks: readonly string[]): Example[] {
  assert.equal(examples.length, blocks.length);
  return examples.map((example, index) => ({ ...example, block: blocks[index] ?? "" }));
}

test("C.3: requests without Huffman coding", () => {
  check(
    withBlocks(REQUESTS, [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]),
  );
});

test("C.4: requests with Huffman coding", () => {
  check(
    withBlocks(REQUESTS, [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]),
  );
});

test("C.5: responses without Huffman coding, with evictions", () => {
  check(
    withBlocks(RESPONSES, [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
       3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      "4803 3330 37c1 c0bf",
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
       677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
       553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
    ]),
    TO_256,
  );
});

test("C.6: responses with Huffman coding, with evictions", () => {
  check(
    withBlocks(RESPONSES, [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
       919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      "4883 640e ffc1 c0bf",
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
       821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
       4ee5 b106 3d50 07`,
    ]),
    TO_256,
  );
});
