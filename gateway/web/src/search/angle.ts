/** Angles as people type them: decimal degrees, or sexagesimal with or without marks. Pure text in, degrees or a sentence out. */

import type { SkyFrame } from "../api/types";

/** What a text means: degrees and, when it was not plain degrees, how it was read; or what is wrong with it. */
export type Angle = { deg: number; read: string | null } | { wrong: string };

/** Which of the two angles of a position. */
export type Side = "lon" | "lat";

const MARKS = /([hdms°º′'’″"”:]+)/i;

/** Names of longitude and latitude in a frame. */
export const SIDES: Record<SkyFrame, Record<Side, string>> = {
  icrs: { lon: "RA", lat: "Dec" },
  galactic: { lon: "l", lat: "b" },
  supergalactic: { lon: "SGL", lat: "SGB" },
};

/** Read one angle. Hours are meant by `h`, and in a right ascension by three (or two) bare numbers that can be hours. */
export function readAngle(text: string, side: Side, frame: SkyFrame): Angle {
  const plain = text.trim().replaceAll(/[−–—]/g, "-");
  const name = SIDES[frame][side];
  if (plain === "") return { wrong: `give ${name}` };
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*(°|deg)?$/i.test(plain)) return within(Number.parseFloat(plain), side, name, null);
  if (/^[+-]?\d+,\d+$/.test(plain)) return { wrong: `${name}: write ${plain.replace(",", ".")} with a point` };
  const sign = plain.startsWith("-") ? -1 : 1;
  const words = plain.replace(/^[+-]\s*/, "").split(/\s+/).flatMap((w) => w.split(MARKS)).filter((w) => w !== "");
  const numbers = words.filter((w) => /^(\d+\.?\d*|\.\d+)$/.test(w));
  const marks = words.filter((w) => MARKS.test(w)).join("").toLowerCase();
  if (numbers.length === 0 || numbers.length > 3 || words.some((w) => !numbers.includes(w) && !MARKS.test(w))) {
    return { wrong: `${name} = ${text.trim()} is no angle: write degrees (197.4488) or ${side === "lat" ? "-23 23 02" : "13h 09m 47.7s"}` };
  }
  const [first = 0, minutes = 0, seconds = 0] = numbers.map(Number);
  if (numbers.slice(0, -1).some((n) => n.includes("."))) return { wrong: `${name}: only the last part may have a fraction` };
  if (minutes >= 60 || seconds >= 60) return { wrong: `${name}: minutes and seconds end below 60` };
  const saysHours = marks.includes("h");
  const saysDegrees = /[d°º]/.test(marks);
  if (saysHours && (side === "lat" || frame !== "icrs")) return { wrong: `${name} is not measured in hours: write degrees` };
  const isHours = saysHours || (side === "lon" && frame === "icrs" && !saysDegrees && first < 24);
  if (isHours && (first >= 24 || sign < 0)) return { wrong: `${name}: hours run from 0 to 24` };
  const value = sign * (first + minutes / 60 + seconds / 3600);
  const shown = [first, ...numbers.slice(1)];
  const units = isHours ? ["h", "m", "s"] : ["°", "′", "″"];
  const understood = (sign < 0 ? "−" : "") + shown.map((n, i) => `${n}${units[i]}`).join(" ");
  const doubt = isHours && !saysHours ? `read as hours; for degrees write ${numbers[0]}°` : null;
  return within(isHours ? 15 * value : value, side, name, understood, doubt);
}

/** Sexagesimal text of a table as its size in wholes, and the unit that it names ("h", "d") or does not; null when it is none. */
export function readSexagesimal(text: string): { value: number; unit: "h" | "d" | null } | null {
  const parts = /^([+-]?)(\d+)([\s:hd°]+)(\d+)(?:[\s:m'′]+(\d+(?:\.\d*)?))?\s*[s"″]?$/i.exec(text.trim());
  if (parts === null) return null;
  const [, sign, whole, mark = "", minutes, seconds = 0] = parts;
  const size = Number(whole) + Number(minutes) / 60 + Number(seconds) / 3600;
  return { value: sign === "-" ? -size : size, unit: /h/i.test(mark) ? "h" : /[d°]/i.test(mark) ? "d" : null };
}

/** Split a position that was pasted into one field, such as "13:09:47.7 -23:23:02" or "197.4, -23.4"; null when it is one angle. */
export function splitPair(text: string): [string, string] | null {
  const plain = text.trim().replaceAll(/[−–—]/g, "-");
  const found = /^([^,;]+)[,;]\s+(.+)$/.exec(plain) ?? /^(\S.*?)\s+([+-]\s*\d.*)$/.exec(plain) ?? /^([\d.]+)\s+([\d.]+)$/.exec(plain);
  if (found === null) return null;
  const [, first = "", second = ""] = found;
  // two bare whole numbers may be hours and minutes: only decimals are surely two angles
  if (/^\d+$/.test(first) && /^[\d.]+$/.test(second)) return null;
  return /\d/.test(first) && /\d/.test(second) ? [first.trim(), second.trim()] : null;
}

function within(deg: number, side: Side, name: string, how: string | null, doubt: string | null = null): Angle {
  const [least, greatest] = side === "lat" ? [-90, 90] : [-360, 360];
  if (deg < least || deg > greatest) {
    const swapped = side === "lat" ? "; perhaps the two are swapped" : "";
    return { wrong: `${name} = ${+deg.toFixed(4)}° lies outside ${least}° to ${greatest}°${swapped}` };
  }
  const rounded = Number(deg.toFixed(7));
  const became = `${how} → ${String(rounded).replace("-", "−")}°`;
  return { deg: rounded, read: how === null ? null : doubt === null ? became : `${became} (${doubt})` };
}
