/** How a file is read when its content does not tell: format, delimiter, which table of several. */

import { useState } from "preact/hooks";
import { readAs, reading } from "./table";

const FORMATS = { csv: "CSV", tsv: "TSV", text: "blank-separated text", ecsv: "ECSV", fits: "FITS", votable: "VOTable", parquet: "Parquet" };
const DELIMITERS = { comma: "comma", semicolon: "semicolon", tab: "tab", pipe: "pipe |", blank: "blank" };

/** The choices; the file is sent again when one is taken. */
export function ReadOtherwise({ open = false }: { open?: boolean }) {
  const [extension, setExtension] = useState(reading.value.extension ?? "");
  return (
    <details open={open}>
      <summary>Read it otherwise</summary>
      <div class="asked">
        <label class="field">
          <span>Format</span>
          <select value={reading.value.input_format ?? ""} onChange={(e) => readAs({ input_format: e.currentTarget.value })}>
            <option value="">by its content</option>
            {Object.entries(FORMATS).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </label>
        <label class="field">
          <span>Columns end at</span>
          <select value={reading.value.delimiter ?? ""} onChange={(e) => readAs({ delimiter: e.currentTarget.value })}>
            <option value="">as found</option>
            {Object.entries(DELIMITERS).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </label>
        <label class="field">
          <span>Table of several</span>
          <input
            type="text" value={extension} placeholder="number or name" maxLength={200} onInput={(e) => setExtension(e.currentTarget.value)}
            onKeyDown={(e) => {
              if (e.key !== "Enter") return;
              e.preventDefault();
              readAs({ extension: extension.trim() });
            }}
            onBlur={() => {
              if (extension.trim() !== (reading.peek().extension ?? "")) readAs({ extension: extension.trim() });
            }}
          />
        </label>
      </div>
    </details>
  );
}
