/** The one function that the page uses of d3-geo-projection, which brings no types of its own. */
declare module "d3-geo-projection" {
  import type { GeoProjection } from "d3-geo";
  /** The Mollweide projection, equal-area. */
  export function geoMollweide(): GeoProjection;
}
