"""One file or folder, whatever its format, as one volume."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from diaphane.acquire import itk, nifti, raster
from diaphane.acquire.archives import is_archive, unpack
from diaphane.acquire.elements import looks_like_dicom
from diaphane.acquire.series import SeriesHeader, ambiguous, find_series, nothing_found
from diaphane.core.case import Identity, SourceRef
from diaphane.core.errors import AmbiguousInput, EmptyInput, UnreadableFile
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.volume import Volume

VOLUME_SUFFIXES = nifti.SUFFIXES + itk.SUFFIXES


@dataclass(frozen=True, eq=False)
class Loaded:
    """A volume with where it came from; identity is ``None`` where the format has none."""

    volume: Volume
    source: SourceRef | None = None
    identity: Identity | None = field(default=None, repr=False)


def read(
    path: str | Path,
    *,
    series: str | int | None = None,
    threads: int | None = None,
    options: ReadOptions = AS_IS,
) -> Volume:
    """The volume in a file or folder.

    DICOM (a file, a series' files in a folder), NIfTI, MetaImage, NRRD, PNG, JPEG, TIFF, BMP,
    a folder of slice pictures, or a zip archive of any of these.

    Parameters
    ----------
    path:
        File or folder.
    series:
        Number, ``number.index``, key or UID of the DICOM series to take where there are several.
    threads:
        Reading threads; ``None`` for one per core, at most 8.
    options:
        What may be repaired (gantry tilt, uneven spacing), and the limits of reading.

    Raises
    ------
    AmbiguousInput
        When there are several series or images; the message lists them.
    EmptyInput
        When there is nothing to read.
    InputError
        When it cannot be used; the class says why.

    Examples
    --------
    >>> volume = read("ct_chest/", series=3)  # doctest: +SKIP
    >>> volume.geometry.spacing  # doctest: +SKIP
    (1.0, 0.7, 0.7)
    """
    wanted = None if series is None else str(series)
    return load(Path(path), series=wanted, threads=threads, options=options).volume


def load(
    path: Path,
    *,
    series: str | None = None,
    threads: int | None = None,
    options: ReadOptions = AS_IS,
) -> Loaded:
    """As :func:`read`, with source and identity."""
    if path.is_dir():
        return _load_folder(path, series, threads, options)
    require_place(path)
    if is_archive(path):
        room = unpack(path, options.limits)
        with room.naming():
            found = _load_folder(room.folder, series, threads, options)
        source = None if found.source is None else found.source.keeping(room)
        return replace(found, source=source)
    kind = format_of(path)
    if kind == "dicom":
        return _load_dicom(path, series, threads, options)
    if kind == "nifti":
        return Loaded(nifti.read_nifti(path, limits=options.limits), SourceRef([path]))
    if kind == "itk":
        return Loaded(itk.read_itk(path, options.limits), SourceRef([path]))
    if kind == "raster":
        return Loaded(raster.read_raster(path, limits=options.limits), SourceRef([path]))
    if path.stat().st_size == 0:
        raise EmptyInput("The file is empty.", path=path)
    remedy = (
        "This is a data set; open it with 'train', 'evaluate' or 'predict'."
        if path.suffix.lower() == ".npz"
        else "Formats: DICOM, NIfTI, MHA, MHD, NRRD, PNG, JPEG, TIFF."
    )
    raise UnreadableFile("This format is not read as an image.", path=path, remedy=remedy)


def require_place(path: Path) -> None:
    """Refuse what is neither a file nor a folder.

    Raises
    ------
    EmptyInput
        When nothing is there, or a device or pipe.
    """
    if not path.exists():
        raise EmptyInput("There is no such file or folder.", path=path)
    if not (path.is_file() or path.is_dir()):
        raise EmptyInput("This is neither a file nor a folder.", path=path)


def format_of(path: Path) -> str:
    """Reader of a file: "dicom", "nifti", "itk", "raster", or "" for none.

    By content for DICOM, by name for the others.
    """
    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return "nifti"
    if name.endswith(itk.SUFFIXES):
        return "itk"
    if raster.is_raster(path):
        return "raster"
    return "dicom" if looks_like_dicom(path) else ""


def is_readable_name(path: Path) -> bool:
    """Whether the name alone says that this is an image file that is not DICOM."""
    name = path.name.lower()
    return not name.startswith(".") and (name.endswith(VOLUME_SUFFIXES + raster.SUFFIXES))


def visible(folder: Path) -> list[Path]:
    """What lies directly in a folder, in natural order, less hidden files."""
    found = [p for p in folder.iterdir() if not p.name.startswith(".")]
    return sorted(found, key=lambda p: raster.natural(p.name))


def has_dicom(folder: Path) -> bool:
    """Whether any file in or below the folder is DICOM."""
    return any(
        not path.name.startswith(".")
        and not is_readable_name(path)
        and path.is_file()
        and looks_like_dicom(path)
        for path in folder.rglob("*")
    )


def _load_folder(
    path: Path, series: str | None, threads: int | None, options: ReadOptions
) -> Loaded:
    names = visible(path)
    volumes = [p for p in names if p.is_file() and p.name.lower().endswith(VOLUME_SUFFIXES)]
    pictures = [p for p in names if p.is_file() and raster.is_raster(p)]
    if has_dicom(path):
        return _load_dicom(path, series, threads, options)
    if pictures and not volumes:
        stack = raster.read_stack(path, pictures, limits=options.limits)
        return Loaded(stack, SourceRef(pictures))
    if len(volumes) == 1 and not pictures:
        return load(volumes[0], options=options)
    if volumes:
        raise AmbiguousInput(
            f"There are {len(volumes) + len(pictures)} images in this folder.",
            path=path,
            remedy="Name one of them.",
        )
    others = sum(1 for p in path.rglob("*") if p.is_file())
    raise EmptyInput(
        f"No image is in this folder{f' (files of other kinds: {others})' if others else ''}.",
        path=path,
        remedy="Formats: DICOM, NIfTI, MHA, MHD, NRRD, PNG, JPEG, TIFF.",
    )


def _load_dicom(
    path: Path, series: str | None, threads: int | None, options: ReadOptions
) -> Loaded:
    found = find_series(path, options)
    if series is not None:
        return load_series(found.choose(series), threads)
    if not found.series:
        raise nothing_found(found, path)
    if len(found.series) > 1:
        raise ambiguous(found.series, path)
    if found.rejected:
        # One of several series is readable: taking it in silence could take the wrong one,
        # or half of the right one.
        raise found.rejected[0][1]
    return load_series(found.series[0], threads)


def load_series(header: SeriesHeader, threads: int | None = None) -> Loaded:
    """A found series with its pixels, source and identity."""
    identified = header.load(threads)
    return Loaded(identified.value.volume, identified.value.source, identified.identity)
