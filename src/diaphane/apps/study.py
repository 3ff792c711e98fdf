"""From a path to the one volume that an app looks at, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from diaphane.acquire import SeriesHeader, find_series, read
from diaphane.apps.series import Offer, SeriesRule, choose_series
from diaphane.apps.stages import Stages
from diaphane.core.case import Identity, SourceRef
from diaphane.core.errors import (
    AmbiguousInput,
    EmptyInput,
    InputError,
    NotApplicable,
    UnreadableFile,
    UsageError,
)
from diaphane.core.finding import SeriesChoice
from diaphane.core.protocols import Request
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group

Notes = tuple[tuple[str, dict[str, object]], ...]

_AIR, _DENSE = -800.0, 100.0  # HU that every chest CT reaches below and above
_LOWEST, _HIGHEST = -32768.0, 32767.0


@dataclass(frozen=True, eq=False)
class Study:
    """What an app looks at.

    Attributes
    ----------
    pseudonym:
        Keyed pseudonym of the patient, or of the file where none is stated.
    series:
        Every series of the input, which one was taken, and why.
    source:
        The DICOM files, for the DICOM writer only; ``None`` for other formats.
    notes:
        Message codes about reading.
    """

    volume: Volume
    pseudonym: str
    series: tuple[SeriesChoice, ...] = ()
    source: SourceRef | None = field(default=None, repr=False)
    identity: Identity = field(default_factory=Identity, repr=False)
    instance_numbers: tuple[int | None, ...] = ()
    notes: Notes = ()


def read_study(request: Request, rule: SeriesRule | None, stages: Stages) -> Study:
    """The volume that ``request`` is about.

    DICOM: the series that ``rule`` prefers or ``request.series`` names. Anything else that
    :func:`diaphane.acquire.read` reads is one volume.

    Raises
    ------
    AmbiguousInput
        Several series fit, or the input holds several patients.
    NotApplicable
        No series fits the rule.
    InputError
        The input cannot be read; the class says why.
    """
    path = request.path
    with stages("choose", 0.0):
        headers, refused = _dicom(request)
        if headers:
            header, choices = _choose(headers, rule, request)
            if request.series is None:
                _whole_folder(header, refused)
    if not headers:
        return _plain(request, stages)
    with stages("read", 0.04):
        identified = header.load(request.threads)
    series = identified.value
    names = Pseudonymiser.load()
    pseudonym = patient_group(identified.identity, names) or series.key
    numbers = series.facts.get("instance_numbers") or ()
    notes: Notes = (("refused_series", {"count": len(refused)}),) if refused else ()
    if "resampled" in series.facts:
        notes = (*notes, ("resampled", {}))
    if series.volume.voxels.ndim == 4 and rule is not None:
        raise NotApplicable("The series is in colour.", path=path)
    return Study(
        volume=series.volume,
        pseudonym=pseudonym,
        series=choices,
        source=series.source,
        identity=identified.identity,
        instance_numbers=tuple(numbers),
        notes=notes,
    )


def as_hounsfield(study: Study, path: Path | None = None) -> Study:
    """The study with its values in HU.

    CT in files that state no unit (NIfTI, MetaImage) is taken as HU when its values reach from
    air to soft tissue within 16 bits, and the study says so in its notes. ``path`` is named
    when it is refused.

    Raises
    ------
    NotApplicable
        When the values are not in HU and cannot be.
    """
    volume = study.volume
    if volume.unit == "HU":
        return study
    voxels = volume.voxels
    # Judged by percentiles of a sample, so that a few odd voxels decide nothing.
    sample = voxels.reshape(-1)[:: max(1, voxels.size // 500_000)]
    low, high = (float(v) for v in np.percentile(sample, [1.0, 99.0]))
    extreme = float(voxels.min()), float(voxels.max())
    fits = low < _AIR and high > -_DENSE and extreme[1] > _DENSE
    if volume.modality not in ("CT", "OT") or voxels.ndim != 3 or not fits:
        raise NotApplicable(
            "This is not a CT in Hounsfield units.",
            path=path,
            remedy="Give a chest CT; values must reach from air to soft tissue.",
        )
    if extreme[0] < _LOWEST or extreme[1] > _HIGHEST:
        raise NotApplicable("The values are outside anything a CT measures.", path=path)
    return replace(
        study,
        volume=replace(volume, modality="CT", unit="HU"),
        notes=(*study.notes, ("assumed_hu", {})),
    )


def _dicom(request: Request) -> tuple[tuple[SeriesHeader, ...], tuple[InputError, ...]]:
    """Series of the input and what was refused; nothing of both when it holds no DICOM."""
    if not request.path.exists():
        raise EmptyInput("There is no such file or folder.", path=request.path)
    try:
        found = find_series(request.path, request.options)
    except EmptyInput:
        return (), ()
    refused = tuple(error for _, error in found.rejected)
    if found.series:
        return found.series, refused
    if refused:
        raise refused[0]
    raise EmptyInput(
        "There are no images here.", path=request.path, remedy="Give a folder of a study's images."
    )


def _choose(
    headers: tuple[SeriesHeader, ...], rule: SeriesRule | None, request: Request
) -> tuple[SeriesHeader, tuple[SeriesChoice, ...]]:
    people = {header.planes[0].header.patient for header in headers}
    if len(people) > 1 and request.series is None:
        raise AmbiguousInput(
            f"The input holds studies of {len(people)} patients.",
            path=request.path,
            remedy="Give one patient's study, or name a series with --series.",
        )
    index, choices = choose_series([_offer(h) for h in headers], rule, request.series)
    return headers[index], choices


def _offer(header: SeriesHeader) -> Offer:
    facts = header.facts
    return Offer(
        key=header.key,
        number=header.number,
        uid=header.planes[0].header.series_uid,
        modality=header.modality,
        image_type=tuple(str(word) for word in facts.get("image_type", ())),
        orientation=str(facts.get("orientation", "")),
        slices=header.shape[0],
        spacing=header.spacing,
        kernel=str(facts.get("kernel", "") or ""),
        index=header.index,
    )


def _whole_folder(header: SeriesHeader, refused: tuple[InputError, ...]) -> None:
    """A damaged file beside the files of the series may belong to it: refused, not left out.

    A series that the reader names is taken all the same, with a note.
    """
    folders = {str(file.parent) for file in header.files}
    for error in refused:
        if not isinstance(error, UnreadableFile) or error.path is None:
            continue
        if error.path in folders or str(Path(error.path).parent) in folders:
            raise error


def _plain(request: Request, stages: Stages) -> Study:
    """A file or folder that is not DICOM."""
    if request.series is not None:
        raise UsageError("--series names a DICOM series, and the input is not DICOM.")
    with stages("read", 0.04):
        volume = read(request.path, threads=request.threads, options=request.options)
    key = Pseudonymiser.load().pseudonym(str(request.path.resolve()), "case")
    return Study(volume=volume, pseudonym=key, series=(only_series(key, volume),))


def only_series(key: str, volume: Volume) -> SeriesChoice:
    """The choice where there was none: input that is not DICOM."""
    return SeriesChoice(
        key,
        None,
        volume.modality,
        volume.shape[0],
        volume.geometry.spacing,
        None,
        taken=True,
        reasons=("only",),
    )
