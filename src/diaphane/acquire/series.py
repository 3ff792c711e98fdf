"""DICOM series: found by their headers alone, read when asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diaphane.acquire.archives import Unpacked
from diaphane.acquire.calibration import calibrated
from diaphane.acquire.facts import scrubbed_description, series_facts, unit_of
from diaphane.acquire.gathering import gather
from diaphane.acquire.grouping import folder_of, require_pixels, split_volumes
from diaphane.acquire.headers import Header, read_header
from diaphane.acquire.identity import read_identity
from diaphane.acquire.overlays import overlay_masks
from diaphane.acquire.pixels import read_voxels
from diaphane.acquire.planes import Plane, Stack, stack
from diaphane.acquire.resampling import Resampling
from diaphane.acquire.sop_classes import DIRECTORY_CLASS
from diaphane.acquire.splitting import Part
from diaphane.acquire.suv import is_pet, kind_of, require_uptake, to_uptake, unit_read
from diaphane.acquire.telling import told_words, volume_facts
from diaphane.core.case import Identified, Identity, Series, SourceRef
from diaphane.core.errors import (
    AmbiguousInput,
    EmptyInput,
    InputError,
    NoPixelData,
    UnreadableFile,
)
from diaphane.core.geometry import Geometry, Spacing
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser

_log = logging.getLogger(__name__)

Paths = str | Path | Iterable[str | Path]


@dataclass(frozen=True, eq=False)
class SeriesHeader:
    """A readable series, known by its headers; pixels are read by :meth:`load`.

    Attributes
    ----------
    key:
        Keyed series id, the same for the same series and key.
    number:
        SeriesNumber, or ``None``.
    index:
        Place among the volumes of the same series, from 1; ``None`` where it is the only one.
    geometry:
        The grid that :meth:`load` will give.
    facts:
        Technical attributes without identity; ``volume`` says what tells it from the other
        volumes of its series.
    description:
        SeriesDescription less every word that is part of the patient's name or numbers.
    planes:
        Sections in order along the normal.
    resampling:
        How sheared or uneven sections come onto the grid.
    options:
        What may be repaired, and the limits of reading.
    rooms:
        Folders of unpacked archives that must live as long as this.
    """

    key: str
    number: int | None
    geometry: Geometry
    facts: Mapping[str, Any]
    description: str
    planes: tuple[Plane, ...] = field(repr=False)
    index: int | None = None
    resampling: Resampling | None = field(default=None, repr=False)
    options: ReadOptions = field(default=AS_IS, repr=False)
    rooms: tuple[Unpacked, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """Number, or ``number.index`` where the series makes several volumes; "-" for none."""
        number = "-" if self.number is None else str(self.number)
        return number if self.index is None else f"{number}.{self.index}"

    @property
    def modality(self) -> str:
        """DICOM modality."""
        return self.planes[0].header.modality

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid size ``(z, y, x)``."""
        return self.geometry.shape

    @property
    def spacing(self) -> Spacing:
        """Distance of voxel centres ``(dz, dy, dx)`` in mm, ``None`` where unknown."""
        return self.geometry.spacing

    @property
    def unit(self) -> str:
        """Of the values that :meth:`load` will give."""
        return unit_read(self.planes, self.options) or unit_of(self.planes[0])

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in slice order."""
        return tuple(dict.fromkeys(plane.header.path for plane in self.planes))

    @property
    def identity(self) -> Identity:
        """Whose it is; read from the first file, never shown."""
        return read_identity(self.planes[0].header.path, self.options.limits)

    def matches(self, wanted: str) -> bool:
        """Whether ``wanted`` names this series: its UID, number, ``number.index``, or key."""
        header = self.planes[0].header
        return wanted in (header.series_uid, header.sop_uid, self.key) or (
            self.number is not None and wanted in (str(self.number), self.label)
        )

    def overlays(self) -> dict[str, Volume]:
        """Overlays of the files as masks of 0 and 1 on this grid, by group ("6000").

        Raises
        ------
        UnreadableFile
            When an overlay is damaged.
        """
        found = {}
        for group, mask in overlay_masks(self.planes).items():
            moved = mask if self.resampling is None else self.resampling.apply(mask * 255) >> 7
            found[group] = Volume(moved, self.geometry, "SEG")
        return found

    def load(self, threads: int | None = None) -> Identified[Series]:
        """Read the pixels, in parallel threads (default: one per core, at most 8).

        Raises
        ------
        UnreadableFile
            When a file is damaged or of a transfer syntax that cannot be decoded.
        InvalidVoxels
            When values are NaN or infinite.
        """
        header = self.planes[0].header
        with ExitStack() as names:
            for room in self.rooms:
                names.enter_context(room.naming())
            voxels = read_voxels(self.planes, threads)
        unit, facts = unit_of(self.planes[0]), self.facts
        if self.resampling is not None:
            voxels = self.resampling.apply(voxels)
        if self.options.suv and is_pet(header):
            kind = kind_of(self.options)
            voxels, unit, facts = to_uptake(voxels, self.planes, facts, kind, unit)
        volume = Volume(voxels, self.geometry, header.modality, unit, facts)
        grid = Stack(self.planes, self.geometry, self.resampling)
        slices = [(plane.header.path, plane.frame) for plane in grid.shown]
        source = SourceRef(self.files, slices, self.rooms)
        series = Series(self.key, self.number, volume, source, facts)
        return Identified(series, self.identity)


@dataclass(frozen=True, eq=False)
class SeriesList:
    """What a search for series found.

    Attributes
    ----------
    series:
        Readable ones, by number, then in the order of their files.
    rejected:
        Files or folders with the error that refuses them.
    others:
        Modality of DICOM objects that are no images (reports, masks, plans), by path.
    """

    series: tuple[SeriesHeader, ...]
    rejected: tuple[tuple[Path, InputError], ...]
    others: tuple[tuple[Path, str], ...] = ()

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[SeriesHeader]:
        return iter(self.series)

    def choose(self, wanted: str) -> SeriesHeader:
        """The series that ``wanted`` names by UID, number or key.

        Raises
        ------
        EmptyInput
            When there is none.
        AmbiguousInput
            When there are several.
        """
        found = [series for series in self.series if series.matches(wanted)]
        if len(found) == 1:
            return found[0]
        raise ambiguous(found) if found else none_of(self.series, wanted)


def series_line(series: SeriesHeader) -> str:
    """One series on one line, without identity."""
    z, y, x = series.shape
    spacing = " x ".join("?" if s is None else f"{s:.3g}" for s in series.spacing)
    extra = [str(series.facts.get("orientation", "")), str(series.facts.get("kernel", ""))]
    if series.facts.get("localizer"):
        extra.append("localizer")
    extra.append(told_words(series.facts.get("volume", {})))
    words = ", ".join(part for part in extra if part)
    return (
        f"{series.label}: {series.modality} {z} x {y} x {x}, {spacing} mm, {words} [{series.key}]"
    )


def ambiguous(found: Sequence[SeriesHeader], path: str | Path | None = None) -> AmbiguousInput:
    """Several fit; lists them."""
    lines = "".join(f"\n  {series_line(series)}" for series in found)
    return AmbiguousInput(
        f"There are {len(found)} series:{lines}\n",
        path=path,
        remedy="Name one with --series by its number as listed, its key or its UID.",
    )


def none_of(known: Sequence[SeriesHeader], wanted: str) -> EmptyInput:
    """None fits; lists what there is."""
    lines = "".join(f"\n  {series_line(series)}" for series in known)
    return EmptyInput(f"There is no series '{wanted}'. There are:{lines}")


def find_series(paths: Paths, options: ReadOptions = AS_IS) -> SeriesList:
    """Series below folders or among files, by headers only.

    Files are grouped by SeriesInstanceUID. Sections are stacked along their normal; images
    that are no sections (radiographs, ultrasound, captures) and multi-frame files each make
    a series of their own. Files that are not DICOM are left out. A zip archive is read as the
    folder that it holds, a DICOMDIR as the files that it lists.

    Raises
    ------
    EmptyInput
        When there is no DICOM file at all.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    headers: dict[str, list[Header]] = {}
    damaged: set[str] = set()
    gathered = gather(listed, options.limits)
    found = gathered.files
    damaged.update(gathered.missing.values())
    rejected = gathered.refusals()
    others: list[tuple[Path, str]] = []
    for path in found:
        try:
            header = read_header(path, options.limits)
        except InputError as error:
            rejected.append((path, error))
            continue
        if header.sop_class == DIRECTORY_CLASS:
            if len(found) == 1:
                others.append((path, "DICOMDIR"))
            continue
        if not header.is_image:
            others.append((path, header.modality))
            continue
        group = header.series_uid or f"{header.study_uid}\0{path.parent}"
        try:
            require_pixels(header)
        except InputError as error:
            rejected.append((path, error))
            if header.is_section:
                damaged.add(group)
            continue
        headers.setdefault(group, []).append(header)
    if not found and not rejected:
        raise EmptyInput(
            "There are no DICOM files here.",
            path=listed[0] if len(listed) == 1 else None,
            remedy="Give a folder or files of a DICOM series.",
        )
    for group in damaged & set(headers):
        # Never half a series: with one section damaged, the rest is refused with it.
        lost = UnreadableFile(
            "Another image of this series is damaged or missing.",
            path=folder_of(headers[group]),
            remedy="Copy or export the series again.",
        )
        rejected.append((folder_of(headers.pop(group)), lost))
    series: list[SeriesHeader] = []
    for members in headers.values():
        parts = list(split_volumes(members, rejected))
        for index, part in enumerate(parts, start=1):
            try:
                part.require_whole()
                series.append(_series(part, index if len(parts) > 1 else None, options))
            except InputError as error:
                rejected.append((folder_of([plane.header for plane in part.planes]), error))
    series.sort(key=lambda s: (s.number is None, s.number or 0))
    return SeriesList(
        tuple(replace(one, rooms=gathered.rooms) for one in series),
        tuple(gathered.shown(path, error) for path, error in rejected),
        tuple(others),
    )


def read_series(
    paths: Paths, threads: int | None = None, options: ReadOptions = AS_IS
) -> list[Identified[Series]]:
    """All readable series of :func:`find_series`, with pixels.

    Series that are refused beside readable ones are left out, with a logged warning;
    :func:`find_series` tells which and why.

    Raises
    ------
    InputError
        The reason of the first refusal, when nothing can be read.
    """
    found = find_series(paths, options)
    if not found.series:
        raise nothing_found(found, paths)
    for _, error in found.rejected:
        _log.warning("A series or file was refused: %s", error.code)
    return [series.load(threads) for series in found.series]


def nothing_found(found: SeriesList, paths: Paths) -> InputError:
    """Why a search that found no readable series found none."""
    if found.rejected:
        return found.rejected[0][1]
    path = paths if isinstance(paths, str | Path) else None
    kinds = ", ".join(sorted({kind for _, kind in found.others}))
    if kinds == "DICOMDIR":
        return NoPixelData("The DICOMDIR lists no images.", path=path, remedy="Give its folder.")
    if found.others:
        return NoPixelData(
            f"The DICOM objects here are no images ({kinds}).",
            path=path,
            remedy="Give the images that they refer to.",
        )
    return EmptyInput("There are no images here.", path=path)


def _series(part: Part, index: int | None, options: ReadOptions) -> SeriesHeader:
    planes = part.planes
    header = planes[0].header
    stated: dict[str, Any] = {}
    if header.is_section or all(_placed(p) for p in planes):
        grid = stack(planes, options)
    else:
        spacing, stated = calibrated(header)
        shape = (len(planes), header.rows, header.columns)
        grid = Stack(tuple(planes), Geometry(shape, (None, *(spacing or (None, None)))))
    require_uptake(planes, options)
    first = grid.planes[0].header
    alone = header.is_enhanced or header.is_mosaic or header.frames > 1 or not header.is_section
    names = Pseudonymiser.load()
    uid = header.sop_uid if alone and len({p.header.path for p in planes}) == 1 else ""
    whose = uid or header.series_uid or header.sop_uid or str(header.path)
    told = f"\0{json.dumps(part.told, sort_keys=True)}" if part.told else ""
    return SeriesHeader(
        names.pseudonym(whose + told, "series"),
        header.series_number,
        grid.geometry,
        series_facts(grid.shown, grid.geometry) | volume_facts(part, grid) | stated,
        scrubbed_description(first),
        grid.planes,
        index,
        grid.resampling,
        options,
    )


def _placed(plane: Plane) -> bool:
    return bool(plane.position and plane.orientation and plane.spacing)
