import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { childrenOf, parseXml, textOfChild, xmlDocument } from "../../../../src/api/s3/xml.ts";
import { isServiceError } from "../../../../src/errors.ts";

const isMalformed = (error: unknown) =>
  isServiceError(error) && error.details["s3Code"] === "MalformedXML";

describe("xmlDocument", () => {
  it("nests, escapes and leaves undefined out", () => {
    assert.equal(
      xmlDocument(
        [
          "A",
          [
            ["B", `<&>"'\r\n\u0001`],
            ["C", undefined],
            ["D", 1],
            ["E", [["F", true]]],
          ],
        ],
        "urn:x",
      ),
      '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="urn:x">' +
        "<B>&lt;&amp;&gt;&quot;&apos;&#xd;&#xa;&#x1;</B><D>1</D><E><F>true</F></E></A>",
    );
  });
});

describe("parseXml", () => {
  it("reads lists, blanks, escapes and namespaces", () => {
    const document = parseXml(
      '<?xml version="1.0"?>\n<Delete xmlns="urn:x">\n <Object><Key> a &amp; &#x41;&#66; </Key></Object>' +
        "<Object><Key>0012</Key></Object><Quiet>true</Quiet></Delete>",
      "Delete",
    );
    const keys = childrenOf(document, "Object").map((object) => textOfChild(object, "Key"));
    assert.deepEqual(keys, [" a & AB ", "0012"]);
    assert.equal(textOfChild(document, "Quiet"), "true");
    assert.equal(textOfChild(document, "Absent"), undefined);
  });

  it("reads back what xmlDocument wrote", () => {
    const key = `a<b>&amp;"'\r\n\t\u0001ü\u{1f600} `;
    const document = parseXml(xmlDocument(["R", [["K", key]]]), "R");
    assert.equal(textOfChild(document, "K"), key);
  });

  it("refuses what is not the document", () => {
    for (const text of [
      "",
      "text",
      "<Delete>",
      "<Other/>",
      "<Delete><Object></Delete>",
      '<!DOCTYPE Delete [<!ENTITY a "b">]><Delete>&a;</Delete>',
      "<Delete/><Delete/>",
      "<Delete><Key></Delete>",
    ])
      assert.throws(() => parseXml(text, "Delete"), isMalformed, text);
  });

  it("refuses references to what does not exist", () => {
    for (const text of [
      "&nbsp;",
      "&",
      "& x",
      "&#xffffff;",
      "&#;",
      "&#x110000;",
      "&#xd800;",
      "&amp",
    ])
      assert.throws(() => {
        const document = parseXml(`<A><B>${text}</B></A>`, "A");
        textOfChild(document, "B");
      }, isMalformed);
  });

  it("refuses a child that is given twice or has children", () => {
    const document = parseXml("<A><B>1</B><B>2</B><C><D/></C></A>", "A");
    assert.throws(() => textOfChild(document, "B"), isMalformed);
    assert.throws(() => textOfChild(document, "C"), isMalformed);
  });
});
