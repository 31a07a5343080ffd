/** The one door to the service: JSON in, JSON or an ApiError out. It never tries again by itself; `state/server` does. */

import type { Problem } from "./types";

/** Refusals that say nothing of the question and pass when the service is whole again. */
const PASSING: ReadonlySet<string> = new Set([
  "no_worker", "not_ready", "worker_lost", "field_changed", "catalog_unavailable", "busy", "too_many_connections", "draining",
]);

/** A refusal of the service, or its absence (`status` 0, code `unreachable`). */
export class ApiError extends Error {
  constructor(readonly problem: Problem, readonly retryAfter: number | null = null) {
    super(problem.detail);
    this.name = "ApiError";
  }

  /** True when the same request may succeed later without a change. */
  get isTransient(): boolean {
    const { status } = this.problem;
    return status === 0 || status === 408 || status === 429 || status === 502 || status === 503 || status === 504;
  }

  /** True when the server, or what stands before it, is there but cannot answer anybody now. */
  get isUnready(): boolean {
    const { status, code } = this.problem;
    return PASSING.has(code) || (code === "bad_answer" && (status === 502 || status === 503 || status === 504));
  }

  /** True when nobody answered at all. */
  get isUnreachable(): boolean {
    return this.problem.status === 0;
  }
}

type Witness = (error: ApiError | null) => void;
/** Listeners for how each request ended; `state/server` is one. */
const witnesses = new Set<Witness>();

/** Be told of each request how it ended: with an answer (null) or with an error. */
export function witness(listener: Witness): () => void {
  witnesses.add(listener);
  return () => witnesses.delete(listener);
}

/** Fetch an address of this server; raise ApiError for what is no success. */
export async function request(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw told(new ApiError(unreachable()));
  }
  if (!response.ok) {
    const problem = problemFrom(response.status, response.statusText, await response.json().catch(() => null));
    // called off while the words of the refusal were on their way: nobody wants to hear of it
    init.signal?.throwIfAborted();
    throw told(new ApiError(problem, seconds(response.headers.get("Retry-After"))));
  }
  for (const tell of witnesses) tell(null);
  return response;
}

/** GET an address and read its JSON. */
export async function get<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await request(url, { headers: { Accept: "application/json" }, ...(signal ? { signal } : {}) });
  return jsonOf<T>(response, signal);
}

/** Read the JSON of an answer. */
export async function jsonOf<T>(response: Response, signal?: AbortSignal | null): Promise<T> {
  return (await body(() => response.json(), signal)) as T;
}

/** POST a JSON body and read the JSON answer. */
export async function post<T>(url: string, what: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const response = await request(url, { method: "POST", headers, body: JSON.stringify(what), ...(signal ? { signal } : {}) });
  return (await body(() => response.json(), signal)) as T;
}

/** GET an address and read its bytes. */
export async function getBytes(url: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const response = await request(url, signal ? { signal } : {});
  return body(() => response.arrayBuffer(), signal);
}

/** Read a body; a server that goes in the middle of it counts as gone. */
async function body<T>(read: () => Promise<T>, signal?: AbortSignal | null): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw told(new ApiError(unreachable()));
  }
}

function told(error: ApiError): ApiError {
  for (const tell of witnesses) tell(error);
  return error;
}

function unreachable(): Problem {
  return {
    type: "about:blank",
    title: "No answer",
    status: 0,
    detail: "the server does not answer; what you asked is asked again as soon as it is back",
    code: "unreachable",
  };
}

/** Return why a request was refused; a proxy before the service may answer in HTML (`body` null): its status is all we know then. */
export function problemFrom(status: number, title: string, body: unknown): Problem {
  const known = { type: "about:blank", title, status };
  const said = body as Partial<Problem> | null;
  return typeof said?.detail === "string" && typeof said.code === "string"
    ? ({ ...known, ...said, status } as Problem)
    : { ...known, detail: `the server answered ${status} ${title}`, code: "bad_answer" };
}

function seconds(text: string | null): number | null {
  const value = Number(text);
  return text !== null && Number.isFinite(value) ? value : null;
}
