/** The question and the view as a link: location.hash is written when they change, and read when somebody opens or edits it. */

import { batch, effect } from "@preact/signals";
import type { FlowType, SkyFrame, VelocityFrame } from "../api/types";
import { COMPARE_MAX, NOTHING_ASKED, type Question, question, subject } from "./question";
import { readView, type View, view, writeView } from "./view";

const FLOWS: readonly FlowType[] = ["distance", "hubble", "luminosity", "comoving"];
const SKY_FRAMES: readonly SkyFrame[] = ["icrs", "galactic", "supergalactic"];
const CZ_FRAMES: readonly VelocityFrame[] = ["hel", "cmb", "lg", "ls", "gsr"];
const NAME_MAX = 128;
/** Ids of fields have up to 80 letters. */
const COMPARE_CHARS_MAX = 81 * COMPARE_MAX;
/** Browsers refuse an address that changes at every frame of a drag. */
const VIEW_WAIT_MS = 200;

/** Return the words of a link for a question and a view; what is as it begins is left out. */
export function toHash(q: Question, v: View): string {
  const words = new URLSearchParams();
  const put = (key: string, value: string | number | null, usual: unknown = null): void => {
    if (value !== null && value !== usual && value !== "") words.set(key, String(value));
  };
  put("name", q.name);
  if (q.name === null) {
    put("lon", q.lon);
    put("lat", q.lat);
    if (q.lon !== null) put("frame", q.frame, NOTHING_ASKED.frame);
  }
  put("cz", q.cz);
  if (q.cz !== null) {
    put("cz_frame", q.givenFrame, NOTHING_ASKED.givenFrame);
    put("sigma_cz", q.sigma_cz);
  }
  put("shown", q.czFrame, NOTHING_ASKED.czFrame);
  if (q.name !== null) put("velocity", q.velocity, NOTHING_ASKED.velocity);
  put("field", q.field);
  put("compare", q.compare.join(","));
  put("flow", q.flow, NOTHING_ASKED.flow);
  put("H0", q.H0);
  put("Om", q.Om);
  put("sigma_v", q.sigma_v);
  put("prior", q.prior);
  writeView(v, words);
  return words.toString().replaceAll("+", "%20");
}

/** Return question and view of a link; words that make no sense are passed over, for links travel through many hands. */
export function fromHash(hash: string): { question: Question; view: View } {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (key: string): number | null => {
    const text = words.get(key);
    const value = Number(text);
    return text !== null && text.trim() !== "" && Number.isFinite(value) ? value : null;
  };
  const text = (key: string): string | null => words.get(key)?.trim().slice(0, NAME_MAX) || null;
  const one = <T extends string>(key: string, known: readonly T[], usual: T): T =>
    known.find((k) => k === words.get(key)) ?? usual;
  const name = text("name");
  const [lon, lat] = name === null ? [number("lon"), number("lat")] : [null, null];
  const isPlace = lon !== null && lat !== null;
  const cz = name !== null || isPlace ? number("cz") : null;
  return {
    question: {
      name,
      lon: isPlace ? lon : null,
      lat: isPlace ? lat : null,
      frame: one("frame", SKY_FRAMES, NOTHING_ASKED.frame),
      cz,
      sigma_cz: cz === null ? null : number("sigma_cz"),
      givenFrame: cz === null ? NOTHING_ASKED.givenFrame : one("cz_frame", CZ_FRAMES, NOTHING_ASKED.givenFrame),
      czFrame: one("shown", CZ_FRAMES, NOTHING_ASKED.czFrame),
      velocity: one("velocity", ["own", "group"] as const, "own"),
      field: text("field"),
      compare: [...new Set((words.get("compare") ?? "").slice(0, COMPARE_CHARS_MAX).split(",").filter(Boolean))].slice(0, COMPARE_MAX),
      flow: one("flow", FLOWS, NOTHING_ASKED.flow),
      H0: number("H0"),
      Om: number("Om"),
      sigma_v: number("sigma_v"),
      prior: text("prior"),
    },
    view: readView(words),
  };
}

/** Keep location.hash and the state equal. A new galaxy or place is a step of the history, everything else is not. */
export function watchLink(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const read = (): void => {
    if (isAnchor(location.hash)) return;
    clearTimeout(timer);
    const found = fromHash(location.hash);
    if (toHash(found.question, found.view) === toHash(question.peek(), view.peek())) return;
    batch(() => {
      question.value = found.question;
      view.value = found.view;
    });
  };
  read();
  addEventListener("hashchange", read);
  let written = question.peek();
  const write = (isStep: boolean): void => {
    const hash = toHash(question.peek(), view.peek());
    if (!isAnchor(location.hash) && hash === hashOfLocation()) return;
    const url = hash ? `#${hash}` : location.pathname + location.search;
    if (isStep) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  };
  const stop = effect(() => {
    const q = question.value;
    void view.value;
    clearTimeout(timer);
    if (q === written) {
      timer = setTimeout(() => write(false), VIEW_WAIT_MS);
      return;
    }
    const isStep = subject(q) !== subject(written);
    written = q;
    write(isStep);
  });
  return () => {
    stop();
    clearTimeout(timer);
    removeEventListener("hashchange", read);
  };
}

/** A hash that names a part of the page, not a question. */
function isAnchor(hash: string): boolean {
  return hash.length > 1 && !hash.includes("=");
}

function hashOfLocation(): string {
  const found = fromHash(location.hash);
  return location.hash === "" ? "" : toHash(found.question, found.view);
}
