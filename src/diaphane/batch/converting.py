"""Images from any format that is read to NIfTI, MHA, NRRD, PNG or DICOM, one or many."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from diaphane import __version__
from diaphane.acquire import find_series, open_inputs
from diaphane.acquire.masks import read_labels
from diaphane.acquire.nnunet import is_nnunet
from diaphane.acquire.reading import (
    Loaded,
    format_of,
    has_dicom,
    load,
    load_series,
    require_place,
)
from diaphane.acquire.series import nothing_found
from diaphane.batch.masking import mask_names
from diaphane.batch.tables import Refusal, write_refusals
from diaphane.core.case import Identity
from diaphane.core.errors import AmbiguousInput, InputError, OutputError, UsageError
from diaphane.core.files import replacing
from diaphane.core.finding import BundleRef
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.saving import known_steps, write_volume
from diaphane.core.volume import Volume
from diaphane.privacy import AuditChain, Event, Pseudonymiser, study_pseudonym
from diaphane.report.dicom import is_dicom, write_label_segmentation
from diaphane.report.series import Filing, write_series

DICOM = "dicom"
FORMATS = ("nii.gz", "nii", "mha", "nrrd", "png", DICOM)


@dataclass(frozen=True)
class Conversion:
    """What a person asks for.

    Attributes
    ----------
    form:
        One of :data:`FORMATS`; ``None``: by the ending of the output; for a folder, NIfTI from
        DICOM and DICOM from everything else.
    series:
        Number, key or UID of the one DICOM series to take.
    modality:
        What the input is, where its format cannot say: "CT" makes a CT image, "MR" an MR image.
    identity:
        DICOM to DICOM: whether patient and study are copied, so that a PACS files the result with
        its study.
    mask, mask_out:
        A mask on the input's grid, and where it goes; ``None``: beside the output.
    stack:
        Whether a folder of pictures is one stack (it is) or one image each.
    """

    form: str | None = None
    series: str | None = None
    modality: str | None = None
    identity: bool = False
    mask: Path | None = None
    mask_out: Path | None = None
    stack: bool = True
    options: ReadOptions = AS_IS


@dataclass(frozen=True)
class Converted:
    """What was written: files, or folders of DICOM; what was lost; and what was refused."""

    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    rejected: Path | None = None


@dataclass(frozen=True)
class _Item:
    """One image to convert: as named to the person, its name in the output folder, its reader."""

    shown: str
    name: str
    load: Callable[[], Loaded]


def convert_images(
    source: Path, out: Path, how: Conversion | None = None, progress: Progress = silent
) -> Converted:
    """Convert an image to ``out``, or every image below a folder into the folder ``out``.

    Files of a folder are named by the keyed id of their DICOM series, or as their input is.

    Raises
    ------
    UsageError
        For a format that is not written, an output in the input's place, or an input that is a
        data set.
    InputError, OutputError
        When there is one image and it cannot be read, or the format cannot hold it.
    """
    how = how or Conversion()
    require_place(source)
    refuse_inside(source, out)
    ending = _ending(out)
    if how.form is not None and how.form not in FORMATS:
        raise UsageError(
            f"Images are not written as '{how.form}'.", remedy=f"Use one of {', '.join(FORMATS)}."
        )
    if ending and how.form not in (None, ending):
        raise UsageError(f"The name ends for {ending}, and --format says {how.form}.", path=out)
    if is_data_set(source):
        raise UsageError(
            "This is a data set.", path=source, remedy="Add --to manifest or --to nnunet."
        )
    if ending:
        loaded = load(source, series=how.series, options=how.options)
        written, notes = _write(loaded, out, ending, how)
        return Converted(tuple(written), tuple(notes))
    return _convert_into(source, out, how, progress)


def refuse_inside(source: Path, out: Path) -> None:
    """Refuse an output that is the input, lies in it, or holds it.

    Raises
    ------
    UsageError
        Naming the output.
    """
    one, two = source.resolve(), out.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise UsageError(
            "The output would lie in the input, or the input in it.",
            path=out,
            remedy="Give another place.",
        )


def require_empty(folder: Path) -> None:
    """Refuse a place that holds something already.

    Raises
    ------
    UsageError
        Naming it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "There is something already.", path=folder, remedy="Give a new or an empty folder."
        )


def _ending(out: Path) -> str:
    """The format that a file's name states, or "" for the name of a folder.

    Raises
    ------
    UsageError
        The name is that of a file of a format that is not written.
    """
    if out.name.lower().endswith(".dcm"):
        return DICOM
    found = (form for form in FORMATS if out.name.lower().endswith(f".{form}"))
    ending = next(found, "")
    if not ending and not out.is_dir() and re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{1,4}", out.suffix):
        raise UsageError(
            f"Images are not written as '{out.suffix[1:]}'.",
            path=out,
            remedy=f"Use one of {', '.join(FORMATS)}; for a folder of that name make it first.",
        )
    return ending


def is_data_set(source: Path) -> bool:
    """Whether a table or an archive makes ``source`` a data set."""
    if source.is_file():
        return source.suffix.lower() == ".npz" or source.name == "labels.csv"
    return (source / "labels.csv").is_file() or is_nnunet(source)


def _convert_into(source: Path, out: Path, how: Conversion, progress: Progress) -> Converted:
    """Every image of ``source`` into the folder ``out``."""
    from_dicom = format_of(source) == DICOM if source.is_file() else has_dicom(source)
    form = how.form or ("nii.gz" if from_dicom else DICOM)
    if form == DICOM:
        require_empty(out)
    items, refused = _series_items(source, how) if from_dicom else _image_items(source, how)
    alone = len(items) == 1 and not refused
    if how.mask is not None and not alone:
        raise AmbiguousInput(
            f"There are {len(items)} images and one mask.",
            path=source,
            remedy="Name one series with --series.",
        )
    written: list[Path] = []
    notes: dict[str, None] = {}
    for number, item in enumerate(items):
        progress("converting", number / len(items))
        place = out / f"{item.name}.{form}" if form != DICOM else out / item.name
        try:
            files, said = _write(item.load(), out if alone and form == DICOM else place, form, how)
        except (InputError, OutputError) as error:
            if alone:
                raise
            refused.append(Refusal.of(item.shown, error))
            continue
        written += files
        notes.update(dict.fromkeys(said))
    rejected = write_refusals(out, refused) if refused or out.is_dir() else None
    return Converted(tuple(written), tuple(notes), tuple(refused), rejected)


def _series_items(source: Path, how: Conversion) -> tuple[list[_Item], list[Refusal]]:
    found = find_series(source, how.options)
    if how.series is not None:
        chosen = found.choose(how.series)
        return [_Item(str(source), chosen.key, partial(load_series, chosen))], []
    if not found.series:
        raise nothing_found(found, source)
    items = [
        _Item(f"{source}#{series.key}", series.key, partial(load_series, series))
        for series in found.series
    ]
    return items, [Refusal.of(str(path), error) for path, error in found.rejected]


def _image_items(source: Path, how: Conversion) -> tuple[list[_Item], list[Refusal]]:
    if how.series is not None:
        raise UsageError("--series is for DICOM.", path=source)
    entries = open_inputs([source], sequences=True, stack=how.stack, options=how.options).entries
    names, refused = mask_names(entries)

    def reader(number: int) -> Callable[[], Loaded]:
        def read() -> Loaded:
            parts = entries[number].read()
            return Loaded(next(iter(parts.volumes.values())), parts.source, parts.identity)

        return read

    items = [_Item(entries[n].name, name, reader(n)) for n, name in names.items()]
    return items, refused


def _write(loaded: Loaded, out: Path, form: str, how: Conversion) -> tuple[list[Path], list[str]]:
    """Write one image and its mask; returns the paths and what was lost."""
    volume = loaded.volume
    if how.modality is not None:
        unit = "HU" if how.modality == "CT" else volume.unit
        volume = replace(volume, modality=how.modality, unit=unit)
    files = loaded.source.open_for_dicom_writer() if loaded.identity and loaded.source else ()
    mask = None if how.mask is None else read_labels(how.mask, volume, files, options=how.options)
    not_pet = how.options.suv and loaded.volume.modality != "PT"
    notes = [f"{loaded.volume.modality} has no SUV: values as they are"] if not_pet else []
    if form != DICOM:
        if form == "png":
            volume = whole_numbers(volume, out)
        write_volume(out, volume)
        written = [out]
        if mask is not None:
            place = how.mask_out or out.with_name(f"{out.name[: -len(form) - 1]}_mask.{form}")
            write_volume(place, mask)
            written.append(place)
        return written, notes + _lost(volume, form)
    written, lost = _write_dicom(replace(loaded, volume=volume), mask, out, how)
    return written, notes + lost


def _write_dicom(
    loaded: Loaded, mask: Volume | None, out: Path, how: Conversion
) -> tuple[list[Path], list[str]]:
    volume = loaded.volume
    single = _ending(out) == DICOM
    if not single:
        require_empty(out)
    filing = Filing(loaded.source, how.identity)
    notes = []
    from_dicom = is_dicom(loaded.source)
    if from_dicom and how.identity:
        study = study_pseudonym(loaded.identity or Identity(), Pseudonymiser.load())
        AuditChain().append(Event("convert", study, {"identity": "study"}))
    with replacing(out) as beside:
        folder = beside.with_name("series") if single else beside
        done = write_series(volume, folder, filing)
        if mask is not None:
            segmentation = folder / "SEG00001.dcm" if how.mask_out is None else how.mask_out
            _write_segmentation(mask, done.files, segmentation)
        if single:
            if len(list(folder.iterdir())) > 1:
                raise OutputError(
                    f"One file does not hold the {len(done.files)} images and the mask.",
                    path=out,
                    remedy="Give the name of a folder.",
                )
            done.files[0].replace(beside)
    if done.step:
        notes.append(f"values are rounded to steps of {done.step:.3g} (16 bit)")
    if from_dicom and how.identity:
        notes.append("patient and study are copied: the result belongs to the study of its source")
    elif from_dicom:
        notes.append("patient and study are pseudonyms; --identity study copies them instead")
    elif how.identity:
        notes.append("the input states no patient or study to copy")
    written = [out]
    if mask is not None:
        written.append(how.mask_out or out / "SEG00001.dcm")
    return written, notes


def _write_segmentation(mask: Volume, files: Sequence[Path], path: Path) -> None:
    """The mask as a DICOM Segmentation of the images just written."""
    from diaphane.core.case import SourceRef

    values = sorted({int(v) for v in set(mask.voxels.ravel().tolist())} - {0})
    names = {value: f"label {value}" for value in values}
    maker = BundleRef("convert", __version__, "", "mask")
    with replacing(path) as beside:
        if not write_label_segmentation(mask, names, SourceRef(files), beside, maker):
            raise OutputError("An empty mask makes no DICOM Segmentation.", path=path)


def whole_numbers(volume: Volume, out: Path) -> Volume:
    """The volume with whole numbers, which a PNG keeps as they are."""
    import numpy as np

    if volume.voxels.dtype.kind != "f":
        return volume
    rounded = np.rint(volume.voxels)
    if not np.array_equal(rounded, volume.voxels):
        raise OutputError(
            "A PNG holds whole numbers, and these are not.",
            path=out,
            remedy="Write .nii.gz, .mha or .nrrd; 'preprocess' with a window makes pictures.",
        )
    return volume.with_voxels(rounded.astype(np.int32))


def _lost(volume: Volume, form: str) -> list[str]:
    geometry = volume.geometry
    known = sum(step is not None for step in geometry.spacing)
    if form == "png":
        return ["PNG keeps neither spacing nor place"] if known else []
    if not geometry.is_spatial and form != DICOM and known > len(known_steps(geometry)):
        return [f"{form} cannot state spacing without the distance of slices: left out"]
    return []
