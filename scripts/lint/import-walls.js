import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { brokenWall } from "./walls.js";

const src = fileURLToPath(new URL("../../src/", import.meta.url));

/**
 * Holds the walls between the folders of src/: a folder of src/ imports only from the folders that `walls.json` lists for it.
 *
 * Types count as imports too, as they tie folders together just as firmly; only the ban on Node modules spares them.
 * An `import()` of a name that is computed cannot be judged and passes.
 *
 * @type {import("eslint").Rule.RuleModule}
 */
export default {
  meta: {
    type: "problem",
    docs: { description: "Keep imports within the walls of scripts/lint/walls.json" },
    messages: { broken: "{{what}}" },
    schema: [],
  },
  create(context) {
    const from = relative(src, context.filename).split(sep).join("/");

    function check(source, kind) {
      if (typeof source?.value !== "string") return;
      const what = brokenWall({ from, specifier: source.value, typeOnly: kind === "type" });
      if (what !== undefined) context.report({ node: source, messageId: "broken", data: { what } });
    }

    return {
      ImportDeclaration: (node) => check(node.source, node.importKind),
      ExportNamedDeclaration: (node) => check(node.source, node.exportKind),
      ExportAllDeclaration: (node) => check(node.source, node.exportKind),
      ImportExpression: (node) => check(node.source, "value"),
      TSImportType: (node) => check(node.source, "type"),
    };
  },
};
