/** Actors of vtk.js from plain arrays: lines, meshes, points. Knows vtk.js and nothing of what is shown. */

import vtkCellArray from "@kitware/vtk.js/Common/Core/CellArray";
import vtkDataArray from "@kitware/vtk.js/Common/Core/DataArray";
import vtkPolyData from "@kitware/vtk.js/Common/DataModel/PolyData";
import vtkActor from "@kitware/vtk.js/Rendering/Core/Actor";
import vtkMapper from "@kitware/vtk.js/Rendering/Core/Mapper";
import type { Mesh } from "../field/surface";
import type { Rgb } from "../ui/ramp";
import type { Solids } from "./shapes";

export type Actor = vtkActor;

/**
 * Make an actor of poly data. Clear things are drawn like solid ones, blended in the order of the stage's layers: the pass that
 * sorts them draws without smoothing of edges, which hair-thin lines need most, and takes graphics in software twice the time.
 */
function actorOf(data: vtkPolyData): Actor {
  const mapper = vtkMapper.newInstance();
  mapper.setInputData(data);
  mapper.setStatic(true);
  const hasColours = data.getPointData().getScalars() !== null;
  mapper.setScalarVisibility(hasColours);
  if (hasColours) mapper.setColorModeToDirectScalars();
  const actor = vtkActor.newInstance();
  actor.setMapper(mapper);
  actor.setPickable(false);
  actor.setForceOpaque(true);
  return actor;
}

function polyData(points: Float32Array, colours: Uint8Array | null): vtkPolyData {
  const data = vtkPolyData.newInstance();
  data.getPoints().setData(points, 3);
  if (colours !== null) {
    data.getPointData().setScalars(vtkDataArray.newInstance({ name: "colours", numberOfComponents: 4, values: colours }));
  }
  return data;
}

/** Lines with a colour at each point (bytes, four a point), as pieces from one point up to, not including, another. Unlit. */
export function lineActor(points: Float32Array, pieces: readonly (readonly [number, number])[], colours: Uint8Array): Actor {
  const cells = new Uint32Array(pieces.reduce((sum, [from, to]) => sum + 1 + to - from, 0));
  let at = 0;
  for (const [from, to] of pieces) {
    cells[at++] = to - from;
    for (let p = from; p < to; p++) cells[at++] = p;
  }
  const data = polyData(points, colours);
  data.setLines(vtkCellArray.newInstance({ values: cells }));
  const actor = actorOf(data);
  actor.getProperty().setLighting(false);
  return actor;
}

/** Points of one colour. Unlit. */
export function pointActor(points: Float32Array, colour: Rgb, size: number, opacity: number): Actor {
  const n = points.length / 3;
  const cells = new Uint32Array(n + 1);
  cells[0] = n;
  for (let i = 0; i < n; i++) cells[i + 1] = i;
  const data = polyData(points, null);
  data.setVerts(vtkCellArray.newInstance({ values: cells }));
  const actor = actorOf(data);
  const property = actor.getProperty();
  property.setLighting(false);
  property.setColor(...colour);
  property.setPointSize(size);
  property.setOpacity(opacity);
  property.setRepresentationToPoints();
  return actor;
}

/** A surface of one colour, lit from the eye. */
export function surfaceActor(mesh: Mesh, colour: Rgb, opacity: number): Actor {
  const data = polyData(mesh.points, null);
  data.getPointData().setNormals(vtkDataArray.newInstance({ name: "Normals", numberOfComponents: 3, values: mesh.normals }));
  data.setPolys(vtkCellArray.newInstance({ values: triangles(mesh.triangles) }));
  const actor = actorOf(data);
  const property = actor.getProperty();
  property.setColor(...colour);
  property.setAmbient(0.25);
  property.setDiffuse(0.75);
  property.setSpecular(0.15);
  property.setSpecularPower(20);
  property.setOpacity(opacity);
  // of a clear body only the near side is drawn: without sorting, the far one would shine through in patches
  property.setBackfaceCulling(true);
  return actor;
}

/** Coloured solids; lit when they have normals that matter. */
export function solidActor(solids: Solids, isLit: boolean): Actor {
  const data = polyData(Float32Array.from(solids.points), Uint8Array.from(solids.colours));
  data.getPointData().setNormals(
    vtkDataArray.newInstance({ name: "Normals", numberOfComponents: 3, values: Float32Array.from(solids.normals) }),
  );
  data.setPolys(vtkCellArray.newInstance({ values: triangles(Uint32Array.from(solids.triangles)) }));
  const actor = actorOf(data);
  actor.getProperty().setLighting(isLit);
  actor.getProperty().setAmbient(0.35);
  actor.getProperty().setDiffuse(0.65);
  return actor;
}

/** A sheet of n x n points with colours, row after row; where a colour is clear there is a hole. Unlit. */
export function sheetActor(points: Float32Array, colours: Uint8Array, n: number): Actor {
  const corners = new Uint32Array(6 * (n - 1) * (n - 1));
  let at = 0;
  for (let i = 0; i < n - 1; i++) {
    for (let j = 0; j < n - 1; j++) {
      const a = i * n + j;
      if ([a, a + 1, a + n, a + n + 1].some((corner) => colours[4 * corner + 3] === 0)) continue;
      corners.set([a, a + n, a + n + 1, a, a + n + 1, a + 1], at);
      at += 6;
    }
  }
  const data = polyData(points, colours);
  data.setPolys(vtkCellArray.newInstance({ values: triangles(corners.subarray(0, at)) }));
  const actor = actorOf(data);
  actor.getProperty().setLighting(false);
  return actor;
}

function triangles(corners: Uint32Array): Uint32Array {
  const n = corners.length / 3;
  const cells = new Uint32Array(4 * n);
  for (let i = 0; i < n; i++) {
    cells[4 * i] = 3;
    cells.set(corners.subarray(3 * i, 3 * i + 3), 4 * i + 1);
  }
  return cells;
}
