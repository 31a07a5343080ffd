/** Send a table to the service and hear what it holds. XMLHttpRequest, since fetch does not tell how far a request is. */

import { ApiError, problemFrom, request } from "../api/client";
import { address, readyUrl } from "../api/urls";
import { credentials, send } from "./access";
import type { Preview, Reading } from "./choice";

/** The largest table the service takes, bytes. */
const LARGEST = 512 * 2 ** 20;

/** Send a file; `told` hears the part that has arrived (0 to 1). */
export function upload(file: File, reading: Reading, told: (part: number) => void, signal: AbortSignal): Promise<Preview> {
  if (file.size > LARGEST) {
    return Promise.reject(new ApiError({
      type: "about:blank", title: "Too large", status: 413, code: "table_too_large",
      detail: `${file.name} has ${Math.ceil(file.size / 2 ** 20)} MiB, and at most ${LARGEST / 2 ** 20} MiB are read; divide it`,
    }));
  }
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", address("/v1/tables", { ...reading }));
    for (const [name, value] of Object.entries({ Accept: "application/json", ...credentials() })) sent.setRequestHeader(name, value);
    sent.upload.onprogress = (event) => told(event.total > 0 ? event.loaded / event.total : 0);
    sent.onload = () => {
      const body = jsonIn(sent.responseText);
      if (body !== null && sent.status >= 200 && sent.status < 300) resolve(body as Preview);
      else reject(new ApiError(problemFrom(sent.status, sent.statusText, body), Number(sent.getResponseHeader("Retry-After")) || null));
    };
    sent.onerror = () => {
      // the same look as every other request tells the page whether the server is there
      void request(readyUrl()).catch(() => undefined);
      reject(new ApiError({
        type: "about:blank", title: "Cut", status: 0, code: "unreachable",
        detail: "the server was lost while the table was on its way; send it again when it is back",
      }));
    };
    sent.onabort = () => reject(new DOMException("called off", "AbortError"));
    signal.addEventListener("abort", () => sent.abort(), { once: true });
    const form = new FormData();
    form.set("file", file, file.name);
    sent.send(form);
  });
}

/** Take a table away that waits for its job; who is too late loses nothing. */
export function dropTable(url: string): void {
  void send(url, { method: "DELETE", keepalive: true }).catch(() => undefined);
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
