/** Who asks: a token, kept in this tab only, and requests that carry it. The service answers without one, too. */

import { signal } from "@preact/signals";
import { type ApiError, jsonOf, request } from "../api/client";

const KEY = "cosmicflows.token";

/** The token that requests about tables and jobs carry; empty: none. */
export const token = signal(recall(KEY));

/** Take a token, or an empty text to forget it. */
export function logIn(text: string): void {
  token.value = text.trim();
  keep(KEY, token.value);
}

/** Return the header that says who asks. */
export function credentials(): Record<string, string> {
  return token.value === "" ? {} : { Authorization: `Bearer ${token.value}` };
}

/** Send a request as whoever is logged in. */
export function send(url: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
  return request(url, { ...init, headers: { Accept: "application/json", ...credentials(), ...init.headers } });
}

/** Send a request and read its JSON; `body` makes it a POST. */
export async function sendJson<T>(url: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<T> {
  return jsonOf<T>(await send(url, init), init.signal);
}

/** True when a refusal is about who asks, so that a token is the way out. */
export function wantsToken(error: ApiError): boolean {
  const { status, code } = error.problem;
  return status === 401 || status === 403 || code === "over_budget" || code === "too_many_requests" || code === "too_many_attempts"
    || (code === "too_many_rows" && token.value === "");
}

/** Return what this tab remembers under a key. */
export function recall(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return ""; // storage may be forbidden: then a reload forgets
  }
}

/** Remember a text under a key in this tab; an empty one is forgotten. */
export function keep(key: string, text: string): void {
  try {
    if (text === "") sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  } catch {
    // see above
  }
}

/** Return a name that nobody else makes, also on pages without https, where randomUUID is missing. */
export function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Wait, or be called off. */
export function pause(ms: number, signal_?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // a job is followed for hours with one signal: listeners must not gather on it
    const done = (): void => {
      clearTimeout(timer);
      signal_?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal_?.addEventListener("abort", done);
  });
}
