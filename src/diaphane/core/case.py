"""What was acquired together, what is judged together, and whose it is.

``acquire`` reads :class:`Identified` things; only ``privacy`` takes the identity off.
``learn`` accepts plain :class:`Case` objects, so that a type checker stops an identified
one at the door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from diaphane.core.errors import PrivacyError
from diaphane.core.volume import Volume

T = TypeVar("T")


class SourceRef:
    """Opaque handle to the files that a case was read from.

    It shows nothing and cannot be serialised: only the DICOM writer opens it, because a
    PACS must file a result beside its study.
    """

    __slots__ = ("_kept", "_paths", "_slices")

    def __init__(
        self,
        paths: Sequence[Path],
        slices: Sequence[tuple[Path, int]] = (),
        kept: object = None,
    ) -> None:
        self._paths = tuple(paths)
        self._slices = tuple(slices)
        self._kept = kept

    def keeping(self, kept: object) -> SourceRef:
        """The same files, and what must live as long as they are referred to."""
        return SourceRef(self._paths, self._slices, (self._kept, kept))

    def open_for_dicom_writer(self) -> tuple[Path, ...]:
        """The source files, in slice order. For ``report``'s DICOM writer only."""
        return self._paths

    def slices_for_dicom_writer(self) -> tuple[tuple[Path, int], ...]:
        """File and frame (from 0) of every slice; empty where nobody stated them."""
        return self._slices

    def __repr__(self) -> str:
        return "SourceRef(...)"

    def __reduce__(self) -> NoReturn:
        raise PrivacyError("A reference to source files is never serialised.")


@dataclass(frozen=True)
class Identity:
    """Who the patient is; lives only inside :class:`Identified`.

    Empty strings where the file states nothing. Dates are DICOM ``YYYYMMDD``.
    """

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession: str = ""
    study_date: str = ""
    study_uid: str = ""
    series_uid: str = ""


@dataclass(frozen=True)
class Identified(Generic[T]):
    """Something with the identity of the patient that it belongs to."""

    value: T = field(repr=False)
    identity: Identity = field(repr=False)


@dataclass(frozen=True, eq=False)
class Series:
    """Images acquired together, as one volume.

    Attributes
    ----------
    key:
        Keyed series id; opaque, the same for the same series and key.
    number:
        SeriesNumber, or ``None``.
    volume:
        Voxels and geometry, slices ordered along the geometry.
    source:
        Opaque handle to the files, in slice order.
    facts:
        Technical attributes without identity: ``modality``, ``kernel``,
        ``slice_thickness``, ``orientation`` ("axial", ...), ``image_type``,
        ``description_terms``, ``manufacturer``, ``instance_numbers`` (per slice).
    """

    key: str
    number: int | None
    volume: Volume
    source: SourceRef
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Case:
    """What is judged together, without identity.

    Attributes
    ----------
    key:
        Opaque id (pseudonym); stands in run folders, logs and reports.
    volumes:
        Volumes by name; a single one is called ``"image"``.
    mask:
        Labels on the grid of the first volume, or ``None``.
    labels:
        Class by label column, as the dataset's own strings; a single one is ``"label"``.
    group:
        Pseudonym of the patient; never on both sides of a split.
    split:
        "train", "val" or "test" as the dataset says, or ``None``.
    concepts, subgroups:
        Columns ``concept:NAME`` and ``subgroup:NAME`` of a manifest.
    points:
        Points of interest ``(x, y, z)`` in LPS mm.
    """

    key: str
    volumes: Mapping[str, Volume]
    mask: Volume | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    split: str | None = None
    concepts: Mapping[str, float] = field(default_factory=dict)
    subgroups: Mapping[str, str] = field(default_factory=dict)
    points: tuple[tuple[float, float, float], ...] = ()
    source: SourceRef | None = field(default=None, repr=False)

    @property
    def volume(self) -> Volume:
        """The first volume."""
        return next(iter(self.volumes.values()))
