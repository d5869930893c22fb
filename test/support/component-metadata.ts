import type { ComponentMetadata } from "../../src/components/contract/component-metadata.ts";
import { readComponent } from "../../src/resources/component-spec.ts";
import { parseYaml } from "../../src/resources/yaml-file.ts";
import { componentMetadata } from "../../src/runtime/component-metadata.ts";
import { SecretValues } from "../../src/runtime/secret-values.ts";

/** What a component with these fields is told, as if it stood in component.yaml; the first field is in line 8. */
export function metadataOf(fields: Readonly<Record<string, string>>): Promise<ComponentMetadata> {
  const items = Object.entries(fields).map(
    ([name, value]) => `    - name: ${name}\n      value: ${JSON.stringify(value)}\n`,
  );
  const head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: c\nspec:\n  type: t\n  metadata:";
  const text = items.length === 0 ? `${head} []\n` : `${head}\n${items.join("")}`;
  const [document] = parseYaml(text, "component.yaml");
  if (document === undefined) throw new Error("no document");
  return componentMetadata(readComponent(document), new SecretValues(new Map(), {}));
}
