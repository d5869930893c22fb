import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ComponentMetadata } from "../components/contract/component-metadata.ts";
import { readComponent } from "../resources/component-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
import { componentMetadata } from "./component-metadata.ts";
import { SecretValues } from "./secret-values.ts";

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
  const items = fields.map(([name, value]) => `    - name: ${name}\n      value: "${value}"\n`).join("");
  const text = `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: c }\nspec: { type: t, metadata: [] }\n`;
  const written = text.replace("spec: { type: t, metadata: [] }\n", `spec:\n    metadata:\n${items}    type: t\n`);
  const [document] = parseYaml(written, "component.yaml");
  assert.ok(document);
  return componentMetadata(readComponent(document), new SecretValues(new Map(), {}));
}
