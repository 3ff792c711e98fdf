"""Where voxels lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diaphane.core.errors import GeometryError, MissingSpacing

Triple = tuple[float, float, float]
Spacing = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Geometry:
    """Grid of a volume and its place in patient space (LPS, mm).

    Index order is always the array's ``(z, y, x)``; points are always
    ``(x, y, z)`` in LPS (x to the patient's Left, y Posterior, z Superior).

    Attributes
    ----------
    shape:
        Number of voxels ``(z, y, x)``; a 2-D image has z = 1.
    spacing:
        Distance of voxel centres in mm ``(dz, dy, dx)``; ``None`` where unknown.
    direction:
        ``(3, 3)`` as nested tuples: column j is the unit vector in LPS along
        index axis j of ``(z, y, x)``; ``None`` where unknown.
    origin:
        LPS position of the centre of voxel (0, 0, 0), mm; ``None`` where unknown.
    """

    shape: tuple[int, int, int]
    spacing: Spacing = (None, None, None)
    direction: tuple[Triple, Triple, Triple] | None = None
    origin: Triple | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(n < 1 for n in self.shape):
            raise GeometryError(f"A grid needs three sizes of at least 1, not {self.shape}.")
        for step in self.spacing:
            if step is not None and not (np.isfinite(step) and step > 0):
                raise GeometryError(f"Spacing must be positive and finite, not {self.spacing}.")
        if self.direction is not None:
            matrix = np.asarray(self.direction, dtype=np.float64)
            if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
                raise GeometryError("Direction must be a finite 3x3 matrix.")
            if abs(np.linalg.det(matrix)) < 1e-3:
                raise GeometryError("Direction is singular: the axes do not span space.")
        if self.origin is not None and not np.isfinite(np.asarray(self.origin)).all():
            raise GeometryError("Origin must be finite.")

    @classmethod
    def from_affine(cls, shape: tuple[int, int, int], affine: ArrayLike) -> Geometry:
        """Geometry of a 4x4 ``affine`` from index ``(z, y, x, 1)`` to LPS mm."""
        matrix = np.asarray(affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise GeometryError("The affine must be a finite 4x4 matrix.")
        steps = np.linalg.norm(matrix[:3, :3], axis=0)
        if (steps <= 0).any() or abs(np.linalg.det(matrix[:3, :3] / steps)) < 1e-3:
            raise GeometryError("The affine is singular: it does not place voxels in space.")
        unit = matrix[:3, :3] / steps
        return cls(
            shape,
            (float(steps[0]), float(steps[1]), float(steps[2])),
            _rows(unit),
            (float(matrix[0, 3]), float(matrix[1, 3]), float(matrix[2, 3])),
        )

    @classmethod
    def axial(
        cls, shape: tuple[int, int, int], spacing: Triple, origin: Triple = (0.0, 0.0, 0.0)
    ) -> Geometry:
        """Upright axial grid: z to Superior, y to Posterior, x to Left."""
        return cls(shape, spacing, ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), origin)

    @property
    def is_spatial(self) -> bool:
        """Whether every voxel has a known place in the patient."""
        return self.direction is not None and self.origin is not None and None not in self.spacing

    @property
    def affine(self) -> NDArray[np.float64]:
        """4x4 matrix from index ``(z, y, x, 1)`` to LPS ``(x, y, z, 1)`` in mm.

        Raises
        ------
        MissingSpacing
            When spacing, direction or origin is unknown.
        """
        if self.direction is None or self.origin is None:
            raise MissingSpacing("The image has no known place in the patient.")
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def spacing_mm(self) -> Triple:
        """Spacing ``(dz, dy, dx)`` in mm.

        Raises
        ------
        MissingSpacing
            When any of the three is unknown.
        """
        dz, dy, dx = self.spacing
        if dz is None or dy is None or dx is None:
            raise MissingSpacing(
                "Millimetres are needed here, and the image does not state its spacing.",
                remedy="Convert it to a format that holds spacing, or use a recipe in pixels.",
            )
        return dz, dy, dx

    def to_patient(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS points ``(..., 3)`` as (x, y, z) mm of indices ``(..., 3)`` as (z, y, x)."""
        matrix = self.affine
        points = np.asarray(index, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        return np.asarray(points, dtype=np.float64)

    def to_index(self, point: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices ``(..., 3)`` as (z, y, x) of LPS points (x, y, z) in mm."""
        matrix = self.affine
        shifted = np.asarray(point, dtype=np.float64) - matrix[:3, 3]
        return np.asarray(shifted @ np.linalg.inv(matrix[:3, :3]).T, dtype=np.float64)

    def contains(self, index: ArrayLike) -> bool:
        """Whether a fractional index lies within half a voxel of the grid."""
        at = np.asarray(index, dtype=np.float64)
        return bool((at >= -0.5).all() and (at <= np.asarray(self.shape) - 0.5).all())

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Geometry:
        """Geometry of the box that begins at index ``start``; negative starts pad."""
        origin = self.origin
        if self.is_spatial:
            moved = self.to_patient(start)
            origin = (float(moved[0]), float(moved[1]), float(moved[2]))
        return replace(self, shape=shape, origin=origin)

    def close_to(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Whether both describe the same grid within ``tolerance`` mm at every corner."""
        if self.shape != other.shape or self.is_spatial != other.is_spatial:
            return False
        if not self.is_spatial:
            return self.spacing == other.spacing
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        gap = self.to_patient(corners) - other.to_patient(corners)
        return bool(np.abs(gap).max() <= tolerance)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; ``from_dict`` reads it back."""
        return {
            "shape": list(self.shape),
            "spacing": list(self.spacing),
            "direction": None if self.direction is None else [list(r) for r in self.direction],
            "origin": None if self.origin is None else list(self.origin),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Geometry:
        """Inverse of :meth:`to_dict`."""
        z, y, x = data["shape"]
        dz, dy, dx = data["spacing"]
        direction = data["direction"]
        origin = data["origin"]
        return cls(
            (int(z), int(y), int(x)),
            (dz, dy, dx),
            None if direction is None else _rows(np.asarray(direction, dtype=np.float64)),
            None if origin is None else (float(origin[0]), float(origin[1]), float(origin[2])),
        )


def _rows(matrix: NDArray[np.float64]) -> tuple[Triple, Triple, Triple]:
    rows = [(float(r[0]), float(r[1]), float(r[2])) for r in matrix]
    return rows[0], rows[1], rows[2]
