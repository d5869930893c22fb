import { writeFileSync } from "node:fs";
import { PAGES } from "./docs-from-code.ts";

for (const [file, text] of Object.entries(PAGES)) {
  writeFileSync(new URL(`../${file}`, import.meta.url), text());
  console.log(`wrote ${file}`);
}
