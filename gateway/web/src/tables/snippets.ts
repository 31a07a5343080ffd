/** A job in other words: curl lines and Python that do the same, or fetch what it found when another tab sent it. */

import type { Job } from "./job";
import type { Sent } from "./jobs";

/** Names of the columns as `Client.submit(columns=)` takes them. */
const COLUMNS: Record<string, string> = {
  lon_column: "lon", lat_column: "lat", ra_column: "ra", dec_column: "dec", cz_column: "cz", z_column: "z", sigma_cz_column: "sigma_cz",
  distance_column: "distance",
};

/** Return shell lines for a job. */
export function jobAsCurl(job: Job, sent: Sent | null, origin: string): string {
  const fetch = (base: string): string => `curl -f -o ${shell(`${job.kind}-${job.run_id ?? job.id}.fits`)} ${base}/result.fits"`;
  if (sent === null) return `curl -f "${origin}${job.url}?wait=60"\n${fetch(`"${origin}${job.results_url}`)}`;
  const parts = Object.entries(sent.words).map(([key, value]) => `-F ${shell(`${key}=${value}`)}`);
  const file = `-F ${shell(`file=@"${sent.file.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`)}`;
  return [
    `JOB=$(curl -sf ${[file, ...parts].join(" ")} "${origin}/v1/jobs" | sed 's/.*"results_url":"\\([^"]*\\)".*/\\1/')`,
    `until curl -sf "${origin}$JOB" > /dev/null; do sleep 1; done`,
    fetch(`"${origin}$JOB`),
  ].join("\n");
}

/** Return a Python program for a job; it needs `cosmicflows[client]`. */
export function jobAsPython(job: Job, sent: Sent | null, origin: string): string {
  const lines = ["from cfcore.client import Client", "", `with Client(${python(origin)}) as client:`];
  if (sent === null) lines.push(`    job = client.job(${job.id}).wait()`);
  else {
    const columns: string[] = [];
    const options: string[] = [];
    for (const [key, value] of Object.entries(sent.words)) {
      const column = COLUMNS[key];
      if (column !== undefined) columns.push(`${python(column)}: ${python(value)}`);
      else options.push(`${key}=${python(value)}`);
    }
    const given = [python(sent.file), ...options, ...(columns.length > 0 ? [`columns={${columns.join(", ")}}`] : [])];
    lines.push(`    job = client.submit(${given.join(", ")}).wait()`);
  }
  lines.push("    flow = job.result()", 'print(flow["status"], flow.meta["CF_FIELD"])', "");
  return lines.join("\n");
}

const shell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const python = (value: string | number): string => (typeof value === "number" ? String(value) : JSON.stringify(value));
