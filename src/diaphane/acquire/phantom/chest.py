"""The chest without vessels: wall, bones, mediastinum, lungs, diaphragm, upper abdomen.

Lengths are mm in LPS about the middle of the chest: x to the patient's left, y to the
back, z to the head, z = 0 at the domes of the diaphragm and the carina near 165.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diaphane.acquire.phantom.shapes import (
    Field,
    disc,
    ellipse,
    joined,
    paint,
    share,
    without,
)

AIR, LUNG, FAT, MUSCLE, BLOOD = -1000.0, -860.0, -100.0, 52.0, 42.0
CARINA, APEX = 165.0, 262.0
_SPINE_Y = 62.0
_PITCH = 27.0  # mm from rib to rib and from vertebra to vertebra


@dataclass(frozen=True)
class Build:
    """One person: a scale for the cage, and where the organs lie. All in mm but ``scale``."""

    scale: float
    fat: float
    heart: float
    dome: tuple[float, float]
    lean: float
    ribs: float

    @classmethod
    def of(cls, random: np.random.Generator) -> Build:
        """A person drawn at random."""
        return cls(
            scale=float(random.uniform(0.92, 1.06)),
            fat=float(random.uniform(6.0, 14.0)),
            heart=float(random.uniform(0.92, 1.08)),
            dome=(float(random.uniform(-4.0, 8.0)), float(random.uniform(-14.0, -4.0))),
            lean=float(random.uniform(-4.0, 4.0)),
            ribs=float(random.uniform(0.0, _PITCH)),
        )


@dataclass(frozen=True)
class _Plane:
    """An axial slice while it is painted: density, columns, rows, height, edge, person."""

    hu: Field
    x: Field
    y: Field
    z: float
    edge: float
    build: Build

    @property
    def parts(self) -> tuple[Field, Field, Field, float, float]:
        """Density, columns, rows, height, edge."""
        return self.hu, self.x, self.y, self.z, self.edge


@dataclass(frozen=True)
class Slice:
    """One axial slice: density in HU, and signed distances of right and left lung in mm."""

    hu: Field
    right: Field
    left: Field


def cage(z: float, build: Build) -> tuple[float, float]:
    """Half width and half depth of the pleural space at height ``z``."""
    top = np.clip((APEX + 14.0 - z) / 150.0, 0.0, 1.0)
    taper = float(np.sqrt(1.0 - (1.0 - top) ** 2.2))
    flare = 1.0 - 0.0005 * max(0.0, z - 60.0)
    return 138.0 * build.scale * taper * flare, 92.0 * build.scale * (0.25 + 0.75 * taper)


def axial_slice(x: Field, y: Field, z: float, build: Build, edge: float) -> Slice:
    """Paint the slice at height ``z`` over the columns ``x`` and rows ``y``."""
    a, b = cage(z, build)
    pleura = ellipse(x, y - 2.0, a, b, 0.2)
    wide = max(a, 100.0 * build.scale + 0.4 * max(0.0, z - 150.0))
    skin = ellipse(x, y - 6.0, wide + 26.0 + build.fat, max(b, 84.0) + 26.0 + build.fat, 0.4)
    hu = np.full(pleura.shape, AIR, dtype=np.float32)
    plane = _Plane(hu, x, y, z, edge, build)
    _table(plane)
    paint(hu, skin, MUSCLE - 20.0, edge)
    paint(hu, skin + 2.0, FAT, edge)
    wall = ellipse(x, y - 4.0, wide + 24.0, max(b, 66.0) + 22.0, 0.3)
    paint(hu, wall, MUSCLE, edge)
    for side in (-1.0, 1.0):
        back = ellipse(x - side * 33.0, y - b - 20.0, 30.0, 21.0, 0.25)
        paint(hu, np.maximum(back, skin + 5.0), MUSCLE + 4.0, edge)
        if z > 120.0:
            chest = ellipse(x - side * 62.0, y + b + 20.0, 52.0, 15.0, 0.2)
            paint(hu, np.maximum(chest, skin + 5.0), MUSCLE, edge)
    # Fat between the layers of muscle, and over the pleura.
    wavy = 1.5 * np.sin(0.05 * x + 0.02 * z) + 1.5 * np.sin(0.06 * y)
    paint(hu, np.abs(wall + 11.0 + wavy) - 1.4, FAT + 20.0, edge)
    paint(hu, np.abs(pleura - 3.0) - 1.2, FAT + 30.0, edge)
    _shoulder_blade(plane, skin)
    _ribs(plane, pleura)
    centre = _mediastinum(x, y, z, build)
    right_floor, left_floor = _floor(x, y, z, build)
    right = without(np.maximum(pleura, x + 6.0), centre)
    left = without(np.maximum(pleura, -x - 2.0), centre)
    _abdomen(plane, pleura, (right_floor, left_floor))
    right, left = without(right, right_floor), without(left, left_floor)
    paint(hu, np.maximum(pleura, centre), FAT + 15.0, edge)
    _organs(plane)
    _spine(plane)
    _sternum(plane, b)
    parenchyma = np.float32(LUNG) + np.float32(0.35) * y
    for lung in (right, left):
        paint(hu, lung, parenchyma, edge)
    _fissures(plane, right, left)
    return Slice(hu, right, left)


def _table(plane: _Plane) -> None:
    hu, x, y, _, edge = plane.parts
    top = 128.0 + plane.build.fat + 0.0009 * -(x * x) + 12.0
    paint(hu, np.abs(y - top) - 1.2 + 0.0 * x, -250.0, edge)
    paint(hu, np.abs(y - top - 9.0) - 7.0 + 0.0 * x, -930.0, edge)


def _floor(x: Field, y: Field, z: float, build: Build) -> tuple[Field, Field]:
    """Distance above the right and left dome of the diaphragm, negative above it (free lung)."""
    falls = []
    for side, top in zip((-1.0, 1.0), build.dome, strict=True):
        away = ((x - side * 62.0) / 78.0) ** 2 + ((y + 22.0) / 84.0) ** 2
        dome = np.float32(top + 8.0) - np.float32(62.0) * np.minimum(away, 2.6)
        falls.append(np.asarray((np.float32(z) - dome) * np.float32(0.75), dtype=np.float32))
    return falls[0], falls[1]


def _mediastinum(x: Field, y: Field, z: float, build: Build) -> Field:
    """Distance to all that lies between the lungs."""
    half = 13.0 + 12.0 * np.exp(-(((z - 120.0) / 70.0) ** 2))
    # Wide about the trachea and vessels, a thin double layer of pleura in front of them.
    front = 1.0 / (1.0 + np.exp(-(y + 36.0) / 5.0))
    half_here = 3.5 + (half - 3.5) * front
    core = np.abs(x - np.float32(build.lean) * front) - half_here
    spine = ellipse(x, y - _SPINE_Y - 10.0, 27.0, 34.0)
    centre = joined(core.astype(np.float32), spine, 6.0)
    for part in (_heart(x, y, z, build), _aorta(x, y, z, build), _hila(x, y, z)):
        centre = joined(centre, part - 2.5, 7.0)
    return centre


def _heart(x: Field, y: Field, z: float, build: Build) -> Field:
    """Pericardium: an ellipsoid that leans to the left and forwards."""
    u = (z - 52.0) / (76.0 * build.heart)
    if abs(u) >= 1.0:
        return np.full(np.broadcast_shapes(x.shape, y.shape), 1e3, dtype=np.float32)
    size = float(np.sqrt(1.0 - u * u)) * build.heart
    return ellipse(x - (24.0 - 0.16 * (z - 52.0)), y + 24.0, 62.0 * size, 48.0 * size)


def _aorta(x: Field, y: Field, z: float, build: Build) -> Field:
    """Ascending and descending limb and, between them, the arch."""
    down = disc(x - 22.0, y - 46.0, 12.5 * build.heart)
    if z > 208.0:
        return np.full(down.shape, 1e3, dtype=np.float32)
    up = disc(x + 12.0, y + 22.0, 15.0 * build.heart)
    if z < 186.0:
        return np.minimum(up, down) if z > 95.0 else down
    # The arch: a tube over the circle from (-12, -22) to (22, 46), top at z = 208.
    t = np.clip(((x + 12.0) * 34.0 + (y + 22.0) * 68.0) / 5780.0, 0.0, 1.0)
    line = np.hypot(x + 12.0 - 34.0 * t, y + 22.0 - 68.0 * t)
    rise = max(0.0, z - 194.0)
    return np.asarray(np.hypot(line, rise) - 12.5 * build.heart, dtype=np.float32)


def _hila(x: Field, y: Field, z: float) -> Field:
    """Soft tissue about the roots of both lungs."""
    found = np.full(np.broadcast_shapes(x.shape, y.shape), 1e3, dtype=np.float32)
    for side, level in ((-1.0, 142.0), (1.0, 150.0)):
        u = (z - level) / 24.0
        if abs(u) < 1.0:
            size = float(np.sqrt(1.0 - u * u))
            found = np.minimum(found, ellipse(x - side * 30.0, y - 8.0, 17.0 * size, 18.0 * size))
    return found


def _organs(plane: _Plane) -> None:
    """Heart, great vessels and gullet in the fat of the mediastinum."""
    hu, x, y, z, edge = plane.parts
    heart = _heart(x, y, z, plane.build)
    if float(heart.min()) < 0.0:
        paint(hu, heart, BLOOD - 4.0, edge)
        groove = np.abs(x - 4.0 - 0.3 * y) - 1.5 + 0.02 * (y + 24.0)
        paint(hu, np.maximum(heart + 3.0, groove), FAT + 40.0, edge)
    paint(hu, _aorta(x, y, z, plane.build), BLOOD, edge)
    if z > 100.0:
        paint(hu, disc(x + 30.0 - 0.03 * (z - 100.0), y + 12.0, 8.5), BLOOD, edge)
    if 118.0 < z < 162.0:
        trunk = ellipse(x - 14.0, y + 14.0, 24.0, 12.0)
        paint(hu, trunk, BLOOD, edge)
    if z > 200.0:
        for cx, cy, r in (
            (-13.0, -14.0, 6.5),
            (8.0, -10.0, 4.5),
            (20.0, 4.0, 5.0),
            (-26.0, -24.0, 7.0),
        ):
            paint(hu, disc(x - cx, y - cy, r), BLOOD, edge)
    paint(hu, _hila(x, y, z) + 3.0, BLOOD - 6.0, edge)
    paint(hu, ellipse(x - 6.0, y - 34.0, 8.0, 5.5), MUSCLE - 15.0, edge)


def _abdomen(plane: _Plane, pleura: Field, floors: tuple[Field, Field]) -> None:
    """Liver, stomach with its bubble, spleen, below the domes."""
    hu, x, y, z, edge = plane.parts
    below = np.maximum(pleura, np.minimum(floors[0], floors[1]))
    paint(hu, below, 58.0, edge)
    if z > max(plane.build.dome) + 12.0:
        return
    stomach = ellipse(x - 62.0, y + 24.0, 42.0, 36.0)
    deep = np.maximum(stomach, np.float32(z - plane.build.dome[1] + 10.0))
    paint(hu, np.maximum(deep, floors[1] + 6.0), 15.0, edge)
    paint(hu, np.maximum(np.maximum(deep + 4.0, floors[1] + 9.0), y + 28.0), AIR, edge)
    spleen = ellipse(x - 92.0, y - 34.0, 26.0, 40.0)
    paint(hu, np.maximum(np.maximum(spleen, np.float32(z + 22.0)), floors[1] + 6.0), 48.0, edge)


def _ribs(plane: _Plane, pleura: Field) -> None:
    """Twelve pairs that fall from the spine to the front, cartilage near the sternum."""
    hu, x, y, z, edge = plane.parts
    turn = np.arctan2(np.abs(x), y - 2.0) / np.float32(np.pi)  # 0 at the spine, 1 in front
    fall = np.float32(95.0) * np.sin(np.clip(turn, 0.0, 0.85) * np.float32(np.pi / 1.7)) ** 2
    level = np.float32(z + plane.build.ribs) + fall
    off = level - np.float32(_PITCH) * np.round(level / np.float32(_PITCH))
    out = pleura - 7.5
    rib = np.hypot(out * 1.35, off * 0.85) - 6.2
    rib = np.maximum(rib, np.float32(14.0) - np.abs(x))
    cartilage = turn > 0.86
    paint(hu, np.where(cartilage, 1e3, rib).astype(np.float32), 620.0, edge)
    paint(hu, np.where(cartilage, 1e3, rib + 2.0).astype(np.float32), 210.0, edge)
    paint(hu, np.where(cartilage, rib, 1e3).astype(np.float32), 95.0, edge)


def _spine(plane: _Plane) -> None:
    """Vertebral body or disc, arch, spinous and transverse processes, cord."""
    hu, x, y, z, edge = plane.parts
    phase = ((z + plane.build.ribs) / _PITCH) % 1.0
    cy = y - _SPINE_Y - 4.0
    body = ellipse(x, cy, 18.5, 14.5, 0.45)
    if phase > 0.8:
        paint(hu, body - 0.5, 85.0, edge)
    else:
        rim = 1.0 if 0.08 < phase < 0.72 else 4.0
        paint(hu, body, 560.0, edge)
        paint(hu, body + 1.0 + rim, 190.0, edge)
    canal = ellipse(x, cy - 23.0, 10.0, 8.5)
    arch = np.abs(canal - 3.5) - 2.5
    paint(hu, canal, 18.0, edge)
    if phase < 0.75:
        paint(hu, np.maximum(arch, 16.0 - cy), 520.0, edge)
        spine = ellipse(x, cy - 40.0, 3.4, 13.0)
        paint(hu, spine, 420.0, edge)
        paint(hu, spine + 1.8, 220.0, edge)
    if 0.25 < phase < 0.6:
        for side in (-1.0, 1.0):
            swept = np.asarray(cy - 22.0 - 0.25 * np.abs(x), dtype=np.float32)
            wing = ellipse(x - side * 24.0, swept, 16.0, 4.6)
            paint(hu, wing, 430.0, edge)
            paint(hu, wing + 1.8, 220.0, edge)


def _sternum(plane: _Plane, depth: float) -> None:
    hu, x, y, z, edge = plane.parts
    if z < 70.0:
        return
    plate = ellipse(x, y + depth + 6.0, 17.0 + 0.06 * max(0.0, z - 180.0), 6.0, 0.65)
    paint(hu, plate, 420.0, edge)
    paint(hu, plate + 1.8, 150.0 + plane.build.fat, edge)


def _shoulder_blade(plane: _Plane, skin: Field) -> None:
    hu, x, y, z, edge = plane.parts
    if z < 110.0:
        return
    a, b = cage(160.0, plane.build)
    sheet = np.abs(ellipse(x, y - 2.0, a + 21.0, b + 17.0, 0.25)) - 2.4
    turn = np.degrees(np.arctan2(np.abs(x), y))
    part = np.maximum(sheet, (np.abs(turn - 52.0) - 16.0) * 1.6)
    part = np.maximum(part, skin + 6.0)
    paint(hu, part.astype(np.float32), 520.0, edge)


def _fissures(plane: _Plane, right: Field, left: Field) -> None:
    """The oblique fissures, as lines a little denser than the lung."""
    hu, x, y, z, edge = plane.parts
    bend = np.float32(0.0022) * (np.abs(x) - 60.0) ** 2
    level = (np.float32(z - 95.0) - np.float32(1.15) * y - bend) * np.float32(0.6)
    for lung in (right, left):
        sheet = np.maximum(np.abs(level) - 0.5, lung + 1.0)
        hu += share(sheet.astype(np.float32), max(edge, 1.0)) * np.float32(90.0)
