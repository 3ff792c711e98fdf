"""Voxels with their place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import InvalidVoxels, MissingExtra
from diaphane.core.geometry import Geometry

if TYPE_CHECKING:
    import nibabel
    import SimpleITK

Array = NDArray[Any]

# LPS <-> RAS: nibabel and MONAI place x to the Right and y to Anterior.
_FLIP_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Index (z, y, x) <-> (x, y, z).
_REVERSE_INDEX = np.array(
    [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image: immutable voxels, their geometry, and what they measure.

    Attributes
    ----------
    voxels:
        ``(z, y, x)``, or ``(c, z, y, x)`` with several channels; read-only.
    geometry:
        Grid and place in the patient; its shape equals the voxels' last three.
    modality:
        DICOM modality ("CT", "MR", "US", ...), or "OT" where unknown.
    unit:
        What a voxel value measures: "HU", or "1" for arbitrary units.
    meta:
        Technical facts that carry no identity (kernel, slice thickness, ...).

    Raises
    ------
    InvalidVoxels
        When voxels are not numeric or do not fit the geometry.
    """

    voxels: Array
    geometry: Geometry
    modality: str = "OT"
    unit: str = "1"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels)
        if voxels.ndim not in (3, 4) or voxels.shape[-3:] != self.geometry.shape:
            raise InvalidVoxels(
                f"Voxels of shape {voxels.shape} do not fit a grid of {self.geometry.shape}."
            )
        if voxels.dtype.kind not in "biuf":
            raise InvalidVoxels(f"Voxels must be numbers, not {voxels.dtype}.")
        view = voxels.view()
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid size ``(z, y, x)``."""
        return self.geometry.shape

    @property
    def channels(self) -> int:
        """Number of channels; 1 when voxels are ``(z, y, x)``."""
        return int(self.voxels.shape[0]) if self.voxels.ndim == 4 else 1

    def with_voxels(
        self, voxels: Array, geometry: Geometry | None = None, *, unit: str | None = None
    ) -> Volume:
        """A new volume with these voxels, on this grid unless another is given."""
        return replace(
            self,
            voxels=voxels,
            geometry=geometry or self.geometry,
            unit=self.unit if unit is None else unit,
        )

    def require_finite(self, path: str | None = None) -> Volume:
        """Itself; raises :class:`InvalidVoxels` when a voxel is NaN or infinite."""
        if self.voxels.dtype.kind == "f" and not np.isfinite(self.voxels).all():
            bad = int(self.voxels.size - np.isfinite(self.voxels).sum())
            raise InvalidVoxels(
                f"{bad} voxels are NaN or infinite.",
                path=path,
                remedy="Repair or re-export the image; values are never filled in silently.",
            )
        return self

    # Converters import their library inside the function, so that core needs numpy only.

    def to_numpy(self) -> Array:
        """A writable copy of the voxels."""
        return self.voxels.copy()

    def to_sitk(self) -> SimpleITK.Image:
        """A SimpleITK image on the same grid (axial at the origin where unplaced)."""
        try:
            import SimpleITK as sitk
        except ImportError as error:  # part of the base install; absent only in cut-down ones
            raise MissingExtra("Conversion to SimpleITK", "SimpleITK", "all") from error
        moved = np.moveaxis(self.voxels, 0, -1) if self.voxels.ndim == 4 else self.voxels
        plain = moved.astype(np.uint8) if moved.dtype == bool else moved
        image = sitk.GetImageFromArray(np.ascontiguousarray(plain), isVector=self.voxels.ndim == 4)
        dz, dy, dx = (step or 1.0 for step in self.geometry.spacing)
        image.SetSpacing((dx, dy, dz))
        if self.geometry.direction is not None:
            columns = np.asarray(self.geometry.direction)[:, ::-1]
            image.SetDirection([float(v) for v in columns.ravel()])
        if self.geometry.origin is not None:
            image.SetOrigin(self.geometry.origin)
        return image

    @classmethod
    def from_sitk(
        cls, image: SimpleITK.Image, *, modality: str = "OT", unit: str = "1", copy: bool = True
    ) -> Volume:
        """The volume of a 2-D or 3-D SimpleITK image, placed as the image says.

        Without ``copy`` its voxels are those of a 3-D image, and good only while that lives.
        """
        import SimpleITK as sitk

        if image.GetDimension() == 2:
            image, copy = sitk.JoinSeries(image), True
        voxels = sitk.GetArrayFromImage(image) if copy else sitk.GetArrayViewFromImage(image)
        if image.GetNumberOfComponentsPerPixel() > 1:
            voxels = np.moveaxis(voxels, -1, 0)
        direction = np.asarray(image.GetDirection()).reshape(3, 3)
        matrix = np.eye(4)
        matrix[:3, :3] = (direction * np.asarray(image.GetSpacing()))[:, ::-1]
        matrix[:3, 3] = image.GetOrigin()
        z, y, x = voxels.shape[-3:]
        return cls(voxels, Geometry.from_affine((z, y, x), matrix), modality, unit)

    def to_nibabel(self) -> nibabel.Nifti1Image:
        """A NIfTI image (RAS, index order x, y, z)."""
        import nibabel

        data = np.moveaxis(self.voxels, (-3, -2, -1), (2, 1, 0))
        if self.voxels.ndim == 4:
            data = np.moveaxis(self.voxels, (0, 1, 2, 3), (3, 2, 1, 0))
        if data.dtype == bool:
            data = data.astype(np.uint8)
        image = nibabel.Nifti1Image(data, _FLIP_LPS_RAS @ self.geometry.affine @ _REVERSE_INDEX)
        image.header.set_xyzt_units("mm")
        return image

    @classmethod
    def from_nibabel(
        cls, image: nibabel.Nifti1Image, *, modality: str = "OT", unit: str = "1"
    ) -> Volume:
        """The volume of a NIfTI image, converted from RAS to LPS; scaling is applied."""
        data = np.asanyarray(image.dataobj)
        if data.ndim == 2:
            data = data[..., None]
        voxels = (
            np.ascontiguousarray(data.transpose(2, 1, 0))
            if data.ndim == 3
            else np.ascontiguousarray(data.transpose(3, 2, 1, 0))
        )
        affine = np.asarray(image.affine, dtype=np.float64)
        matrix = _FLIP_LPS_RAS @ affine @ _REVERSE_INDEX
        z, y, x = voxels.shape[-3:]
        return cls(voxels, Geometry.from_affine((z, y, x), matrix), modality, unit)

    def to_metatensor(self) -> Any:
        """A MONAI MetaTensor ``(c, x, y, z)`` with its RAS affine."""
        try:
            import torch
            from monai.data import MetaTensor
        except ImportError as error:
            raise MissingExtra("Conversion to MetaTensor", "monai", "learn") from error
        voxels = self.voxels if self.voxels.ndim == 4 else self.voxels[None]
        data = np.ascontiguousarray(voxels.transpose(0, 3, 2, 1))
        affine = _FLIP_LPS_RAS @ self.geometry.affine @ _REVERSE_INDEX
        return MetaTensor(torch.from_numpy(data.copy()), affine=torch.from_numpy(affine))

    @classmethod
    def from_metatensor(cls, tensor: Any, *, modality: str = "OT", unit: str = "1") -> Volume:
        """The volume of a MONAI MetaTensor ``(c, x, y, z)`` in RAS."""
        data = np.asarray(tensor.detach().cpu().numpy()).transpose(0, 3, 2, 1)
        voxels = np.ascontiguousarray(data[0] if data.shape[0] == 1 else data)
        matrix = _FLIP_LPS_RAS @ np.asarray(tensor.affine.cpu().numpy()) @ _REVERSE_INDEX
        z, y, x = voxels.shape[-3:]
        return cls(voxels, Geometry.from_affine((z, y, x), matrix), modality, unit)

    def __repr__(self) -> str:
        z, y, x = self.shape
        spacing = " x ".join("?" if s is None else f"{s:.3g}" for s in self.geometry.spacing)
        unit = "" if self.unit == "1" else f", {self.unit}"
        return f"Volume({self.modality} {z} x {y} x {x}, {spacing} mm{unit}, {self.voxels.dtype})"

    def _repr_html_(self) -> str:
        """Three mid-plane thumbnails and the geometry, for notebooks."""
        from html import escape

        from diaphane.core.thumbnail import thumbnails

        images = "".join(
            f'<img alt="{name}" style="height:8em;margin-right:.5em" src="{uri}">'
            for name, uri in thumbnails(
                self.voxels, self.geometry.spacing, self.meta.get("display_range")
            )
        )
        return f"<div>{images}<br><code>{escape(repr(self))}</code></div>"
