/** The jobs of whoever asks, newest first: what each is called, how far it is, and its state in words. */

import { Refusal } from "../ui/Notice";
import { wantsToken } from "./access";
import { count, duration, hasEnded, type Job, stateOf, titleOf } from "./job";
import { jobs, loadJobs, nextPage, open, openId } from "./jobs";
import { LogIn } from "./LogIn";

/** The list, with the way to older ones. */
export function JobList() {
  const { data, error, isLoading } = jobs.value;
  return (
    <div class="jobs">
      {error === null ? null : (
        <>
          <Refusal error={error} />
          <p class="line"><button type="button" onClick={() => void loadJobs()}>Ask again</button></p>
        </>
      )}
      {data === null ? <p class="dim">{isLoading ? "Looking for your jobs …" : ""}</p> : data.length === 0 ? (
        <p class="dim">No jobs yet. The server keeps yours for some days; this list comes back with the page.</p>
      ) : (
        <ul aria-label="Jobs">
          {data.map((job) => <Line key={job.id} job={job} />)}
        </ul>
      )}
      {nextPage.value === null ? null : <p><button type="button" class="small" onClick={() => void loadJobs(true)}>Older jobs</button></p>}
      <LogIn open={error !== null && wantsToken(error)} />
    </div>
  );
}

function Line({ job }: { job: Job }) {
  const isOpen = openId.value === job.id;
  return (
    <li>
      <button type="button" class="job" aria-expanded={isOpen} aria-controls="job" onClick={() => open(isOpen ? null : job.id)}>
        <span class="clip" title={titleOf(job)}>{titleOf(job)}</span>
        <span class="number">{count(job.rows_total)} <span class="unseen">rows</span></span>
        <Bar job={job} />
        <State job={job} />
      </button>
    </li>
  );
}

/** How far a job is, drawn. */
function Bar({ job }: { job: Job }) {
  const share = job.rows_total > 0 ? job.rows_done / job.rows_total : 0;
  return <span class={`bar ${stateOf(job).tone}`} aria-hidden="true"><span style={{ width: `${100 * share}%` }} /></span>;
}

/** The state of a job: mark, words, and the time left. */
function State({ job }: { job: Job }) {
  const { mark, words, tone } = stateOf(job);
  const share = job.rows_total > 0 ? Math.floor((100 * job.rows_done) / job.rows_total) : 0;
  const left = hasEnded(job) || job.eta_seconds === null ? "" : ` · ${duration(job.eta_seconds)} left`;
  return (
    <span class={`state ${tone}`}>
      <span aria-hidden="true">{mark} </span>
      {job.phase === "EXECUTING" ? `${share} %${left}` : `${words}${left}`}
    </span>
  );
}
