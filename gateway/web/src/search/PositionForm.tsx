/** A place by hand: longitude and latitude in one of three systems, in degrees or sexagesimal, and its velocity if it has one. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { SkyFrame } from "../api/types";
import { refusal } from "../state/answers";
import { askPlace, question } from "../state/question";
import { SKY_WORDS } from "../state/words";
import { type Angle, readAngle, SIDES, type Side, splitPair } from "./angle";
import { isAbout } from "./faults";
import { readNumber } from "./NumberBox";
import { type TypedVelocity, VelocityFields } from "./VelocityFields";

const WORDS: Record<Side, readonly string[]> = { lon: ["lon", "ra", "glon", "sgl"], lat: ["lat", "dec", "glat", "sgb"] };

/** Position and cz; asked with Enter or the button. */
export function PositionForm() {
  const q = question.value;
  const lon = useSignal("");
  const lat = useSignal("");
  const frame = useSignal<SkyFrame>("icrs");
  const velocity = useSignal<TypedVelocity>({ cz: "", sigma: "", frame: "hel" });
  /** What is wrong is said when somebody asks, not while they type. */
  const isTried = useSignal(false);
  useEffect(() => {
    if (q.lon === null || q.lat === null) {
      // a place that was asked before would look like that of the galaxy
      if (q.name !== null) {
        [lon.value, lat.value, isTried.value] = ["", "", false];
        velocity.value = { cz: "", sigma: "", frame: "hel" };
      }
      return;
    }
    lon.value = String(q.lon);
    lat.value = String(q.lat);
    frame.value = q.frame;
    velocity.value = { cz: shown(q.cz), sigma: shown(q.sigma_cz), frame: q.givenFrame };
  }, [q.name, q.lon, q.lat, q.frame, q.cz, q.sigma_cz, q.givenFrame]);

  const angles: Record<Side, Angle> = {
    lon: readAngle(lon.value, "lon", frame.value), lat: readAngle(lat.value, "lat", frame.value),
  };
  const cz = readNumber(velocity.value.cz);
  const sigma = readNumber(velocity.value.sigma);
  const error = q.name === null ? refusal.value : null;
  const said = (...words: readonly string[]): string | null => (isAbout(error, ...words) ? (error?.message ?? null) : null);
  const wrongOf = (side: Side): string | null => {
    const angle = angles[side];
    return isTried.value && "wrong" in angle ? angle.wrong : said(...WORDS[side]);
  };
  const wrong = {
    cz: isTried.value && typeof cz === "string" ? `cz: ${cz}` : said("cz", "z", "cz_frame"),
    sigma: isTried.value && typeof sigma === "string" ? `σ(cz): ${sigma}`
      : isTried.value && sigma !== null && cz === null ? "σ(cz) needs a cz" : said("sigma_cz"),
  };
  const paste = (text: string): void => {
    const pair = splitPair(text);
    if (pair === null) lon.value = text;
    else [lon.value, lat.value] = pair;
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    isTried.value = true;
    const { lon: x, lat: y } = angles;
    if ("wrong" in x || "wrong" in y || typeof cz === "string" || typeof sigma === "string" || (sigma !== null && cz === null)) return;
    isTried.value = false;
    askPlace(x.deg, y.deg, frame.value, cz, velocity.value.frame, sigma);
  };
  const side = (which: Side, text: { value: string }, take: (typed: string) => void) => {
    const angle = angles[which];
    const fault = wrongOf(which);
    return (
      <div class="input">
        <label for={`place-${which}`}>
          {SIDES[frame.value][which]}{frame.value === "icrs" ? (which === "lon" ? ", ° or h m s" : ", ° or ° ′ ″") : ", °"}
        </label>
        <input
          id={`place-${which}`} type="text" autocomplete="off" spellcheck={false} value={text.value}
          placeholder={frame.value === "icrs" ? (which === "lon" ? "13 09 47.7" : "−23 23 02") : which === "lon" ? "102.9" : "−2.3"}
          aria-invalid={fault === null ? undefined : true} aria-describedby={`place-${which}-about`}
          onInput={(e) => take(e.currentTarget.value)}
        />
        <small id={`place-${which}-about`}>
          {fault !== null ? <span class="wrong" role="alert">{fault}</span> : "read" in angle ? angle.read : null}
        </small>
      </div>
    );
  };
  return (
    <form class="byhand" onSubmit={submit}>
      <div class="inputs">
        {side("lon", lon, paste)}
        {side("lat", lat, (typed) => (lat.value = typed))}
        <label class="input">
          <span>system</span>
          <select value={frame.value} onChange={(e) => (frame.value = e.currentTarget.value as SkyFrame)}>
            {Object.entries(SKY_WORDS).map(([key, words]) => <option key={key} value={key}>{words}</option>)}
          </select>
        </label>
      </div>
      <VelocityFields
        id="place" typed={velocity.value} usual="none" wrong={wrong}
        onType={(parts) => (velocity.value = { ...velocity.value, ...parts })}
      />
      <button type="submit" class="go">Ask this place</button>
    </form>
  );
}

function shown(value: number | null): string {
  return value === null ? "" : String(value);
}
