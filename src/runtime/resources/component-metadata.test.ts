import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { metadataWith } from "../../../test/support/component-metadata.ts";
import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";

describe("The metadata of a component", () => {
  it("is read by field name, without regard to its case", async () => {
    const metadata = await metadataOf(["maxRequestsPerSecond", "5"]);
    assert.equal(metadata.get("maxrequestspersecond"), "5");
    assert.equal(metadata.get("other"), undefined);
  });

  it("says where a field stands", async () => {
    const metadata = await metadataOf(["a", "1"], ["Rule", "x"]);
    assert.equal(metadata.placeOf("rule"), "component.yaml:9");
    assert.equal(metadata.placeOf("missing"), "component.yaml:5");
  });

  it("refuses a field that the component does not know, with file, line and the nearest one", async () => {
    const metadata = await metadataOf(["rule", "x"], ["rotues", "{}"]);
    assert.throws(() => {
      metadata.refuseUnknown(["routes", "rule"]);
    }, /^Error: component\.yaml:9: unknown metadata field "rotues"; did you mean "routes"\?$/);
  });

  it("names all fields where none is near", async () => {
    const metadata = await metadataOf(["colour", "x"]);
    assert.throws(() => {
      metadata.refuseUnknown(["routes", "rule"]);
    }, /unknown metadata field "colour"; the fields are routes, rule$/);
    assert.throws(() => {
      metadata.refuseUnknown([]);
    }, /unknown metadata field "colour"; the component has no fields$/);
  });

  it("refuses nothing that is known, however its case", async () => {
    (await metadataOf(["ROUTES", "{}"])).refuseUnknown(["routes"]);
  });
});

function metadataOf(...fields: readonly (readonly [name: string, value: string])[]): Promise<ComponentMetadata> {
  return metadataWith(Object.fromEntries(fields));
}
