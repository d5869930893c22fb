import assert from "node:assert/strict";
import type { ComponentMetadata } from "../../src/components/contract/component-metadata.ts";
import { readComponent } from "../../src/resources/component-spec.ts";
import { parseYaml } from "../../src/resources/yaml-file.ts";
import { componentMetadata } from "../../src/runtime/resources/component-metadata.ts";
import { SecretValues } from "../../src/runtime/resources/secret-values.ts";

/** The metadata of a Component with these fields, as it is read from a file; the first one stands on line 6, each on two. */
export function metadataWith(
  fields: Readonly<Record<string, string>>,
  file = "component.yaml",
): Promise<ComponentMetadata> {
  const items = Object.entries(fields).map(
    ([name, value]) => `  - name: ${JSON.stringify(name)}\n    value: ${JSON.stringify(value)}\n`,
  );
  const head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: c}\nspec:\n";
  const list = items.length === 0 ? "" : `  metadata:\n${items.join("")}`;
  const [document] = parseYaml(`${head}${list}  type: t\n`, file);
  assert.ok(document);
  return componentMetadata(readComponent(document), new SecretValues(new Map(), {}));
}
