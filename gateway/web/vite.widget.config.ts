import { defineConfig, type Plugin } from "vite";

/**
 * A widget has no address of its own, so a second file beside it cannot be found: the other thread of the scene travels
 * inside. Where a notebook forbids such threads, the scene computes without.
 */
function threadsInside(): Plugin {
  const asked = 'new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })';
  return {
    name: "threads-inside",
    enforce: "pre",
    transform(code, id) {
      if (!id.endsWith("/flow/compute.ts")) return null;
      if (!code.includes(asked)) this.error(`flow/compute.ts begins its worker in another way than ${asked}`);
      return { code: `import InsideWorker from "./worker.ts?worker&inline";\n${code.replace(asked, "new InsideWorker()")}`, map: null };
    },
  };
}

/** The notebook widget: one module and one style sheet, package data of cfcore. */
export default defineConfig({
  plugins: [threadsInside()],
  // libraries ask for it, and a notebook's page has no such thing
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
    outDir: "../../cfcore/_widget",
    emptyOutDir: true,
    sourcemap: false,
    minify: true,
    cssCodeSplit: false,
    chunkSizeWarningLimit: 2000,
    lib: { entry: "src/widget/widget.ts", formats: ["es"], fileName: () => "view.js", cssFileName: "view" },
    // the work of others travels with it, and so do its licences
    license: { fileName: "licences.md" },
    rollupOptions: { output: { codeSplitting: false } },
  },
});
