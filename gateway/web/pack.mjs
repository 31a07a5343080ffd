/**
 * Finish what Vite has built: pack every file once with gzip, so that no request waits for it: NAME.gz beside NAME, the same bytes at every build.
 * The server sends the packed form where it is shorter; what is packed already (png, woff2) gains nothing and is left alone.
 * Vite collects the licences of the packages; of those that lie inside the bundle of swagger-ui it cannot know.
 */
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";

const made = fileURLToPath(new URL("../static", import.meta.url));
const inside = fileURLToPath(new URL("node_modules/swagger-ui-dist/swagger-ui-es-bundle.js.LICENSE.txt", import.meta.url));

appendFileSync(join(made, "licences.md"), `\n## Inside swagger-ui-dist\n\n${readFileSync(inside, "utf8")}`);
for (const folder of [made, join(made, "assets")]) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isFile() && /\.(?:html|js|css|svg|json)$/.test(entry.name)) {
      const path = join(folder, entry.name);
      // node writes neither name nor time into the header
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: constants.Z_BEST_COMPRESSION }));
    }
  }
}
