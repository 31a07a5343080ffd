import { defineConfig } from "vitest/config";

/** Where a developer's `npm run dev` finds the service; the built page asks the server that sent it. */
const SERVICE = process.env["CF_SERVICE"] ?? "http://127.0.0.1:5000";

export default defineConfig({
  base: "/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsDir: "assets",
    // images as data: addresses would need a weaker Content-Security-Policy
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // what the browser is sent is the work of others, too: their licences travel with it
    license: { fileName: "licences.md" },
    // swagger-ui and vtk.js are large as they are; tests/page counts what the page sends
    chunkSizeWarningLimit: 2000,
    sourcemap: false,
    rollupOptions: { input: { index: "index.html", docs: "docs.html" } },
  },
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/get_", "/hint_byname", "/readyz", "/openapi.json"].map((path) => [path, SERVICE]),
    ),
  },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
