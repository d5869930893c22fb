// `npm run build`: src/ and the packages it uses, bundled into dist/. What is imported with `import()` becomes a file of its
// own and is loaded when it is used (decision 10).
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

rmSync(dist, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: {
    "cli/main": "src/cli/main.ts",
    // Run by a thread or a child process of its own (components/pubsub/local/entry.ts).
    "pubsub-local/worker-main": "src/components/pubsub/local/worker-main.ts",
  },
  outdir: "dist",
  // As deep as cli/ and as the folders of src/: a path to package.json is right from all of them.
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  // What is installed beside us: packages with native code. All else is in the bundle, and a devDependency.
  external: Object.keys(dependencies),
  // Some bundled packages are CommonJS, and ask for Node's modules with a `require` that modules do not have.
  banner: {
    js: `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`,
  },
  // Names and places, for stacks; the sources are in the repository.
  sourcemap: true,
  sourcesContent: false,
  metafile: true,
  logLevel: "warning",
});
chmodSync(join(dist, "cli/main.js"), 0o755);
writeFileSync(join(dist, "THIRD-PARTY-LICENSES.md"), licensesOf(packagesIn(metafile)));

/** The folders in node_modules that something of the bundle comes from. */
function packagesIn({ outputs }) {
  const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
  const folders = inputs.map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]);
  return [...new Set(folders)].filter((folder) => folder !== undefined).sort();
}

/** Their licences ask to be passed on with copies. */
function licensesOf(folders) {
  const parts = folders.map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    return `## ${name} ${version} (${license})\n\n${licenceOf(name, folder).trim()}\n`;
  });
  return ["# What is bundled, and its licences\n", ...parts].join("\n");
}

/** The package's own file, or what we found out about one that is published without. */
function licenceOf(name, folder) {
  const own = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const file = own === undefined ? join(root, "scripts/licenses", name) : join(root, folder, own);
  if (!existsSync(file)) throw new Error(`${name} comes without its licence: write it into scripts/licenses/${name}`);
  return readFileSync(file, "utf8");
}
