"""The whole phantom: chest, trees, nodules, texture and noise on a scanner's grid."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diaphane.acquire.phantom.chest import AIR, APEX, BLOOD, CARINA, Build, axial_slice
from diaphane.acquire.phantom.lesions import Kind, Nodule, Surface, distance
from diaphane.acquire.phantom.shapes import Field, inside_capsule, share
from diaphane.acquire.phantom.vessels import Segment, Vector, grow_tree
from diaphane.core.errors import UsageError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

KINDS: tuple[Kind, ...] = ("free", "pleural", "mediastinal", "vascular")
_THREADS = 2
_BOTTOM = -62.0  # mm of the first slice when the chest fits


@dataclass(frozen=True)
class Phantom:
    """A synthetic chest CT and all that is true of it.

    Attributes
    ----------
    volume:
        ``(z, y, x)`` float32 HU, axial, z to the head.
    nodules:
        What was planted.
    lungs:
        ``(z, y, x)`` uint8: 1 right lung, 2 left lung, nodules and vessels included.
    airways:
        ``(z, y, x)`` bool: lumen of trachea and bronchi.
    seed:
        What it was made from; the same seed and grid give the same voxels.
    """

    volume: Volume
    nodules: tuple[Nodule, ...]
    lungs: NDArray[np.uint8]
    airways: NDArray[np.bool_]
    seed: int


@dataclass
class _Canvas:
    """The arrays while they are painted."""

    hu: Field
    depth: Field  # signed distance of the nearer lung, negative inside
    side: NDArray[np.uint8]
    airways: NDArray[np.bool_]
    axes: tuple[Field, Field, Field]  # z, y, x in mm
    edge: float

    def depth_at(self, point: Vector) -> float:
        """Mm below the surface of the lungs at (x, y, z); -50 outside the grid."""
        index = []
        for value, axis in zip(point[::-1], self.axes, strict=True):
            step = float(axis[1] - axis[0]) if len(axis) > 1 else 1.0
            at = round((float(value) - float(axis[0])) / step)
            if not 0 <= at < len(axis):
                return -50.0
            index.append(at)
        return -float(self.depth[index[0], index[1], index[2]])

    def around(
        self, low: Vector, high: Vector
    ) -> tuple[tuple[slice, slice, slice], tuple[Field, Field, Field]] | None:
        """Box of the grid that holds the points between ``low`` and ``high``, and its points."""
        box = []
        for a, b, axis in zip(low[::-1], high[::-1], self.axes, strict=True):
            first = int(np.searchsorted(axis, a - 2.0 * self.edge))
            last = int(np.searchsorted(axis, b + 2.0 * self.edge))
            if last <= first:
                return None
            box.append(slice(first, last))
        z, y, x = (axis[s] for axis, s in zip(self.axes, box, strict=True))
        points = (x[None, None, :], y[None, :, None], z[:, None, None])
        return (box[0], box[1], box[2]), points


def chest_phantom(
    seed: int,
    spacing: tuple[float, float, float] = (2.5, 0.96, 0.96),
    shape: tuple[int, int, int] = (136, 384, 384),
    nodules: Sequence[tuple[float, Kind]] | None = None,
    noise: float = 18.0,
) -> Phantom:
    """A chest CT that never was.

    Parameters
    ----------
    seed:
        Of the person, the trees, the nodules and the noise.
    spacing, shape:
        Grid ``(z, y, x)``; mm and voxels. A smaller one is a cropped field of view.
    nodules:
        Diameter in mm and kind of each; ``None`` draws six of 4 to 20 mm.
    noise:
        Standard deviation in HU of the scanner's noise in soft tissue.

    Raises
    ------
    UsageError
        When a nodule is not 2 to 40 mm, or finds no place.
    """
    for diameter, _ in nodules or ():
        if not 2.0 <= diameter <= 40.0:
            raise UsageError(f"A nodule of {diameter} mm cannot be planted (2 to 40 mm).")
    random = np.random.default_rng(seed)
    build = Build.of(random)
    canvas = _paint_chest(build, spacing, shape)
    trees = _paint_vessels(canvas, random)
    _paint_airways(canvas, random)
    wanted = _drawn(random) if nodules is None else list(nodules)
    planted = _plant(canvas, trees, wanted, random)
    _add_noise(canvas, noise, random)
    geometry = Geometry.axial(
        shape,
        spacing,
        (float(canvas.axes[2][0]), float(canvas.axes[1][0]), float(canvas.axes[0][0])),
    )
    meta = {"kernel": "PHANTOM", "slice_thickness_mm": spacing[0]}
    volume = Volume(np.clip(canvas.hu, -1024.0, 3071.0), geometry, "CT", "HU", meta)
    lungs = np.where((canvas.depth < 0.0) & ~canvas.airways, canvas.side, 0).astype(np.uint8)
    return Phantom(volume, tuple(planted), lungs, canvas.airways, seed)


def _drawn(random: np.random.Generator) -> list[tuple[float, Kind]]:
    """Six nodules: two kinds free, one each against pleura, mediastinum and a vessel."""
    kinds: list[Kind] = ["free", "pleural", "mediastinal", "vascular", "free", "pleural"]
    sizes = np.exp(random.uniform(np.log(4.0), np.log(20.0), size=len(kinds)))
    return [(float(s), k) for s, k in zip(sizes, kinds, strict=True)]


def _paint_chest(
    build: Build, spacing: tuple[float, float, float], shape: tuple[int, int, int]
) -> _Canvas:
    dz, dy, dx = spacing
    z = (_BOTTOM + dz * np.arange(shape[0])).astype(np.float32)
    y = (dy * (np.arange(shape[1]) - 0.5 * (shape[1] - 1)) + 8.0).astype(np.float32)
    x = (dx * (np.arange(shape[2]) - 0.5 * (shape[2] - 1))).astype(np.float32)
    edge = max(dy, dx, 0.6)
    hu = np.empty(shape, dtype=np.float32)
    depth = np.empty(shape, dtype=np.float32)
    side = np.empty(shape, dtype=np.uint8)

    def fill(k: int) -> None:
        one = axial_slice(x[None, :], y[:, None], float(z[k]), build, edge)
        hu[k] = one.hu
        np.minimum(one.right, one.left, out=depth[k])
        side[k] = np.where(one.right < one.left, 1, 2)

    # No slice draws a random number, so their order does not matter.
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(fill, range(shape[0])):
            pass
    return _Canvas(hu, depth, side, np.zeros(shape, dtype=bool), (z, y, x), edge)


def _paint_vessels(canvas: _Canvas, random: np.random.Generator) -> list[Segment]:
    """Arteries and veins of both lungs; returns every segment."""
    segments: list[Segment] = []
    for sign, level in ((-1.0, 142.0), (1.0, 150.0)):
        for kind in range(2):
            for rise in (1.1, 0.15, -0.75, -1.3):
                root = np.array([sign * 38.0, 6.0 - 6.0 * kind, level + 9.0 * rise - 8.0 * kind])
                toward = np.array([sign, random.uniform(-0.7, 0.7), rise])
                radius = float(random.uniform(2.4, 3.5))
                segments += grow_tree(root, toward, radius, canvas.depth_at, random)
    for one in segments:
        _paint_rod(canvas, one, BLOOD)
    return segments


def _paint_rod(canvas: _Canvas, rod: Segment, density: float) -> None:
    size = max(rod.radii)
    found = canvas.around(
        np.minimum(rod.start, rod.end) - size, np.maximum(rod.start, rod.end) + size
    )
    if found is None:
        return
    box, points = found
    cover = share(inside_capsule(points, rod.start, rod.end, rod.radii), canvas.edge)
    # Rods thinner than a voxel fill only a part of it.
    cover = cover * np.float32(min(1.0, 2.0 * size / canvas.edge))
    view = canvas.hu[box]
    if density > 0.0:
        view += cover * np.maximum(np.float32(density) - view, 0.0)
    else:
        view += cover * (np.float32(density) - view)


def _paint_airways(canvas: _Canvas, random: np.random.Generator) -> None:
    """Trachea, main bronchi and the first generations in the lungs, with walls."""
    carina = np.array([0.0, 18.0, CARINA])
    tubes = [Segment(np.array([0.0, 6.0, APEX + 60.0]), carina, (8.5, 8.0))]
    right, left = np.array([-32.0, 14.0, 146.0]), np.array([36.0, 16.0, 138.0])
    tubes.append(Segment(carina, right, (7.0, 6.0)))
    tubes.append(Segment(carina, left, (6.5, 5.5)))
    for root, sign in ((right, -1.0), (left, 1.0)):
        for rise in (1.0, -0.3, -1.3):
            toward = np.array([sign, random.uniform(-0.4, 0.5), rise])
            tubes += grow_tree(root, toward, 3.6, canvas.depth_at, random, thinnest=1.3)
    for tube in tubes:
        wall = tuple(r + 0.5 + 0.15 * r for r in tube.radii)
        _paint_rod(canvas, Segment(tube.start, tube.end, (wall[0], wall[1])), 10.0)
    for tube in tubes:
        _paint_rod(canvas, tube, AIR)
        _mark_lumen(canvas, tube)


def _mark_lumen(canvas: _Canvas, tube: Segment) -> None:
    size = max(tube.radii)
    found = canvas.around(
        np.minimum(tube.start, tube.end) - size, np.maximum(tube.start, tube.end) + size
    )
    if found is not None:
        box, points = found
        canvas.airways[box] |= inside_capsule(points, tube.start, tube.end, tube.radii) < 0.0


def _plant(
    canvas: _Canvas,
    trees: list[Segment],
    wanted: list[tuple[float, Kind]],
    random: np.random.Generator,
) -> list[Nodule]:
    planted: list[Nodule] = []
    for diameter, kind in wanted:
        place = _place(canvas, trees, planted, (diameter, kind), random)
        nodule = Nodule(
            (float(place[0]), float(place[1]), float(place[2])),
            diameter,
            kind,
            float(random.uniform(0.0, 60.0)),
            bool(diameter > 8.0 and random.random() < 0.4),
        )
        _paint_nodule(canvas, nodule, random)
        planted.append(nodule)
    return planted


def _place(
    canvas: _Canvas,
    trees: list[Segment],
    planted: list[Nodule],
    wanted: tuple[float, Kind],
    random: np.random.Generator,
) -> Vector:
    """A point whose distance to pleura, vessels and other nodules suits the kind."""
    diameter, kind = wanted
    radius = 0.5 * diameter
    ends = np.array([0.5 * (s.start + s.end) for s in trees])
    sizes = np.array([max(s.radii) for s in trees])
    thin = np.flatnonzero((sizes > 0.5) & (sizes < max(0.8, 0.45 * radius)))
    levels = canvas.axes[0]
    deep = np.argwhere(canvas.depth[::2, ::4, ::4] < 1.0) * (2, 4, 4)
    for _ in range(6000):
        if kind == "vascular":
            k = int(random.choice(thin))
            turn = random.normal(size=3)
            turn /= np.linalg.norm(turn)
            point = ends[k] + turn * (sizes[k] + 0.75 * radius)
        else:
            z, y, x = deep[int(random.integers(len(deep)))]
            point = np.array([canvas.axes[2][x], canvas.axes[1][y], canvas.axes[0][z]], dtype=float)
        inside = canvas.depth_at(point)
        fits = {
            "free": inside > radius + 5.0,
            "vascular": inside > radius + 5.0,
            "pleural": 0.1 * radius < inside < 0.7 * radius and _on_cage(point),
            "mediastinal": 0.1 * radius < inside < 0.7 * radius and not _on_cage(point),
        }[kind]
        if not fits or not levels[0] + radius + 4.0 < point[2] < levels[-1] - radius - 4.0:
            continue
        if any(np.linalg.norm(point - n.centre) < radius + n.diameter_mm for n in planted):
            continue
        clear = np.linalg.norm(ends - point, axis=1) - sizes
        need = 0.3 * radius if kind == "vascular" else radius + 1.0
        if kind in ("free", "vascular") and clear.min() < need * (kind == "free"):
            continue
        return np.asarray(point, dtype=np.float64)
    raise UsageError(f"No place for a {kind} nodule of {diameter:.0f} mm in this field of view.")


def _on_cage(point: Vector) -> bool:
    """Whether the nearest pleura is that of the ribs: away from the middle and the domes."""
    return abs(float(point[0])) > 75.0 and float(point[2]) > 20.0


def _paint_nodule(canvas: _Canvas, nodule: Nodule, random: np.random.Generator) -> None:
    surface = Surface.of(nodule, random)
    reach = 0.95 * nodule.diameter_mm
    centre = np.asarray(nodule.centre)
    found = canvas.around(centre - reach, centre + reach)
    if found is None:
        return
    box, points = found
    cover = share(distance(nodule, surface, points), canvas.edge)
    view = canvas.hu[box]
    view += cover * np.maximum(np.float32(nodule.density) - view, 0.0)


def _add_noise(canvas: _Canvas, noise: float, random: np.random.Generator) -> None:
    """Slice-profile blur, texture of the parenchyma, and noise with a scanner's grain."""
    steps = [float(a[1] - a[0]) for a in canvas.axes]
    hu = canvas.hu
    texture = random.standard_normal([max(2, n // 3 + 2) for n in hu.shape], dtype=np.float32)
    texture = ndimage.gaussian_filter(texture, 0.8)
    for k in range(hu.shape[0]):
        row = k / 3.0
        low = min(int(row), texture.shape[0] - 2)
        plane = texture[low] + np.float32(row - low) * (texture[low + 1] - texture[low])
        plane = np.repeat(np.repeat(plane, 3, axis=0), 3, axis=1)[: hu.shape[1], : hu.shape[2]]
        plane = ndimage.uniform_filter(plane, 3)
        lung = np.clip((-650.0 - hu[k]) / 150.0, 0.0, 1.0) * (canvas.depth[k] < 0.0)
        hu[k] += np.float32(60.0) * lung * plane
        grain = random.standard_normal(hu.shape[1:], dtype=np.float32)
        grain = ndimage.gaussian_filter(grain, 0.75 / steps[1] * 0.9)
        grain -= ndimage.uniform_filter(grain, max(3, round(6.0 / steps[1])))
        grain *= np.float32(noise / max(float(grain.std()), 1e-6))
        hu[k] += grain
    if steps[0] > 1.5:
        canvas.hu = ndimage.correlate1d(hu, [0.08, 0.84, 0.08], axis=0, mode="nearest")
