/** CSV as the service writes it, read while it comes: comment lines, one header, records with quoted cells. */

/** What was read of a file so far: notes from the comment lines, the names of the columns, and records as they come. */
export interface CsvReader {
  /** Take a piece of text and return the records that are whole; the first record is the header and is not among them. */
  push(text: string): string[][];
  /** Return what is left when the file has ended. */
  end(): string[][];
  readonly notes: Record<string, unknown>;
  readonly names: readonly string[];
}

/** Begin to read a file. */
export function csvReader(): CsvReader {
  const notes: Record<string, unknown> = {};
  let names: string[] | null = null;
  let rest = "";
  const take = (text: string, records: string[][]): void => {
    if (names === null) {
      if (text.startsWith("#")) note(text, notes);
      else names = cells(text);
    } else if (text !== "") records.push(cells(text));
  };
  return {
    notes,
    get names() {
      return names ?? [];
    },
    push(text) {
      const records: string[][] = [];
      rest += text;
      let from = 0;
      let looked = 0;
      for (;;) {
        const at = rest.indexOf("\n", Math.max(from, looked));
        if (at < 0) break;
        const line = rest.slice(from, at);
        looked = at + 1;
        const isComment = names === null && line.startsWith("#");
        // a line's end inside quotes belongs to the cell
        if (!isComment && line.includes('"') && quotes(line) % 2 === 1) continue;
        take(line.endsWith("\r") ? line.slice(0, -1) : line, records);
        from = looked;
      }
      rest = rest.slice(from);
      return records;
    },
    end() {
      const records: string[][] = [];
      if (rest !== "") take(rest, records);
      rest = "";
      return records;
    },
  };
}

function quotes(text: string): number {
  let n = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) n++;
  return n;
}

/** Cut a record into its cells; `mark` stands between them. */
export function cells(line: string, mark = ","): string[] {
  if (!line.includes('"')) return line.split(mark);
  const found: string[] = [];
  let at = 0;
  while (at <= line.length) {
    if (line[at] === '"') {
      let cell = "";
      let from = at + 1;
      for (;;) {
        const close = line.indexOf('"', from);
        if (close < 0) return [...found, cell + line.slice(from)];
        cell += line.slice(from, close);
        if (line[close + 1] !== '"') {
          at = close + 1;
          break;
        }
        cell += '"';
        from = close + 2;
      }
      found.push(cell);
      at = line[at] === mark ? at + 1 : line.length + 1;
      if (at === line.length) found.push("");
    } else {
      const end = line.indexOf(mark, at);
      found.push(end < 0 ? line.slice(at) : line.slice(at, end));
      at = end < 0 ? line.length + 1 : end + 1;
      if (at === line.length) found.push("");
    }
    if (at === line.length) break;
  }
  return found;
}

function note(line: string, notes: Record<string, unknown>): void {
  const found = /^# ?([\w ]+): (.*)$/.exec(line);
  if (found === null) return;
  try {
    notes[found[1] as string] = JSON.parse(found[2] as string);
  } catch {
    notes[found[1] as string] = found[2];
  }
}
