/** Where a table is taken: a button, and the whole page while a file is dragged over it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { announce } from "../ui/announce";
import { short } from "./job";
import { takeFile } from "./table";

const ENDINGS = ".csv,.tsv,.txt,.dat,.ecsv,.fits,.fit,.vot,.votable,.xml,.parquet,.pq,.gz";

/** A button that opens a file, with the page as its drop zone. */
export function DropZone() {
  const input = useRef<HTMLInputElement>(null);
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    // dragenter and dragleave come for every element under the pointer: what counts is that a drag goes on
    let leave: ReturnType<typeof setTimeout> | undefined;
    const over = (event: DragEvent): void => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      clearTimeout(leave);
      leave = setTimeout(() => setOver(false), 400);
      setOver(true);
    };
    const drop = (event: DragEvent): void => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      clearTimeout(leave);
      setOver(false);
      take(event.dataTransfer.files);
      document.getElementById("tables")?.scrollIntoView({ block: "nearest" });
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    return () => {
      clearTimeout(leave);
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);
  return (
    <>
      <button type="button" class={isOver ? "drop over" : "drop"} onClick={() => input.current?.click()}>
        <span>Drop a CSV, FITS, VOTable, ECSV or Parquet file</span>
        <small>or choose one; ra, dec and cz are found by name, unit or UCD</small>
      </button>
      <input
        ref={input} class="unseen" type="file" accept={ENDINGS} tabIndex={-1} aria-hidden="true" aria-label="Table" data-test="table-file"
        onChange={(event) => {
          take(event.currentTarget.files);
          // the same file can be chosen again, after it was mended
          event.currentTarget.value = "";
        }}
      />
      {isOver ? <div class="drop-hint" aria-hidden="true">Let go: the table is looked at first, nothing is computed yet</div> : null}
    </>
  );
}

function take(files: FileList | null): void {
  const first = files?.[0];
  if (first === undefined) return;
  if (files !== null && files.length > 1) announce(`One table at a time: ${short(first.name)} is taken`);
  takeFile(first);
}
