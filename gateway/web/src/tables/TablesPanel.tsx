/** Tables and jobs: drop a table, say what its columns are, watch the job, take the result. */

import { useEffect } from "preact/hooks";
import { calm } from "../state/calm";
import { CopyMenu } from "../ui/CopyMenu";
import { Panel } from "../ui/Panel";
import { DropZone } from "./DropZone";
import { JobList } from "./JobList";
import { JobView } from "./JobView";
import { openJob, sentFor, watchJobs } from "./jobs";
import { Looked } from "./Looked";
import { jobAsCurl, jobAsPython } from "./snippets";
import "./tables.css";

/** The part of the page for lists of galaxies. */
export function TablesPanel() {
  // the list of jobs is no answer to anything that was asked
  useEffect(() => {
    let stop: (() => void) | null = null;
    let isGone = false;
    void calm().then(() => {
      if (!isGone) stop = watchJobs();
    });
    return () => {
      isGone = true;
      stop?.();
    };
  }, []);
  const job = openJob.value;
  const sent = job === null ? null : sentFor(job.id);
  const tools = job === null ? undefined : (
    <CopyMenu
      urls={[job.results_url]} cite={[job.field.id]} of="this job"
      texts={{ curl: jobAsCurl(job, sent, location.origin), python: jobAsPython(job, sent, location.origin) }}
    />
  );
  return (
    <Panel id="tables" title="Tables" note="distances for a list of galaxies" tools={tools}>
      <div class="tables">
        <DropZone />
        <Looked />
        <JobList />
        <JobView />
      </div>
    </Panel>
  );
}
