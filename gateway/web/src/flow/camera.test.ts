// @vitest-environment node
import { describe, expect, it } from "vitest";
import { distanceFor, eyeOf, projector, tamed, VIEW_ANGLE } from "./camera";

describe("the eye", () => {
  it("sees the observer in the middle, and SGZ upwards from everywhere", () => {
    for (const azimuth of [-170, -65, 0, 33, 90, 180]) {
      for (const elevation of [-80, 0, 24, 89.5]) {
        const project = projector({ azimuth, elevation, distance: 500 }, 960, 540);
        const middle = project([0, 0, 0])!;
        expect(middle.x).toBeCloseTo(480, 6);
        expect(middle.y).toBeCloseTo(270, 6);
        expect(middle.depth).toBeCloseTo(500, 6);
        expect(project([0, 0, 50])!.y).toBeLessThan(270);
        expect(project([0, 0, 50])!.x).toBeCloseTo(480, 6);
      }
    }
  });

  it("has SGX to the right when it stands at -SGY, as on a map", () => {
    const { right } = eyeOf({ azimuth: -90, elevation: 20, distance: 1 });
    expect(right[0]).toBeCloseTo(1, 12);
    expect(right[1]).toBeCloseTo(0, 12);
  });

  it("sees nothing behind itself", () => {
    expect(projector({ azimuth: 0, elevation: 0, distance: 100 }, 100, 100)([101, 0, 0])).toBeNull();
  });

  it("keeps elevation short of the poles, azimuth in a turn and distance in its bounds", () => {
    expect(tamed({ azimuth: 275, elevation: 130, distance: 1e9 }, 10, 2400)).toEqual({ azimuth: -85, elevation: 89.5, distance: 2400 });
    expect(tamed({ azimuth: -725, elevation: -95, distance: 0 }, 10, 2400)).toEqual({ azimuth: -5, elevation: -89.5, distance: 10 });
  });

  it("stands where a sphere touches the smaller side of the screen", () => {
    for (const [width, height] of [[960, 540], [300, 600]] as const) {
      const distance = distanceFor(100, width, height);
      // the sphere's outline is seen at asin(radius / distance)
      const scale = height / 2 / Math.tan((VIEW_ANGLE * Math.PI) / 360);
      expect(scale * Math.tan(Math.asin(100 / distance))).toBeCloseTo(Math.min(width, height) / 2, 6);
    }
  });
});
