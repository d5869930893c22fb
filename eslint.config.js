import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";
import importWalls from "./scripts/lint/import-walls.js";

// Layout is Biome's business (biome.json): no rule here is about it.
export default defineConfig(
  globalIgnores(["dist/", ".test-tmp/", "src/gen/", "test/fixtures/**/observed/"]),
  {
    files: ["{src,test,scripts,bench}/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // Ports, counts and milliseconds in messages are numbers; `${String(port)}` says no more than `${port}`.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    // What stands in src/ to be tested; a test may look past the walls.
    files: ["src/**/*.ts"],
    ignores: ["src/**/*.test.ts"],
    plugins: { outrigger: { rules: { "import-walls": importWalls } } },
    rules: { "outrigger/import-walls": "error" },
  },
  {
    files: ["test/**/*.ts", "src/**/*.test.ts"],
    rules: {
      // node:test keeps the promises of its own calls and waits for them.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "suite", "describe", "it"] },
          ],
        },
      ],
    },
  },
  {
    // Scripts that run without a compiler have no types to be checked against.
    files: ["**/*.{js,mjs}"],
    extends: [tseslint.configs.strict, tseslint.configs.stylistic],
  },
);
