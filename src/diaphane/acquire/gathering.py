"""Which DICOM files an input holds: files, folders, zip archives and the index of a medium."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.acquire.archives import Unpacked, is_archive, unpack
from diaphane.acquire.directory import listed_files
from diaphane.acquire.elements import looks_like_dicom
from diaphane.core.errors import EmptyInput, InputError, UnreadableFile
from diaphane.core.options import Limits

_INDEX = "DICOMDIR"


@dataclass
class Gathered:
    """DICOM files of an input.

    Attributes
    ----------
    files:
        Sorted within each folder, in the order of each index.
    rooms:
        Folders of unpacked archives, which must outlive reading.
    missing:
        SeriesInstanceUID ("" where it is not told) by file that an index names in vain.
    """

    files: list[Path] = field(default_factory=list)
    rooms: tuple[Unpacked, ...] = ()
    missing: dict[Path, str] = field(default_factory=dict)

    def shown(self, path: Path, error: InputError) -> tuple[Path, InputError]:
        """A refusal as a person knows the file: by its name in the archive."""
        for room in self.rooms:
            path, error = Path(room.shown(path)), room.renamed(error)
        return path, error

    def refusals(self) -> list[tuple[Path, InputError]]:
        """What is missing, as refused."""
        return [
            (
                path,
                UnreadableFile(
                    "The DICOMDIR lists this file, and it is not there.",
                    path=path,
                    remedy="Copy the whole medium again.",
                ),
            )
            for path in self.missing
        ]


def gather(paths: Sequence[str | Path], limits: Limits) -> Gathered:
    """DICOM files among ``paths``, below folders, in zip archives, or listed by a DICOMDIR.

    Hidden files are left out, and so are archives inside folders. A DICOMDIR is followed only
    where it is named itself; a folder's files are all looked at, whatever its index says.

    Raises
    ------
    EmptyInput
        When a path is not there.
    InputError
        When an archive or an index cannot be used; the class says why.
    """
    found = Gathered()
    for given in paths:
        path = Path(given)
        if is_archive(path):
            room = unpack(path, limits)
            found.rooms += (room,)
            path = room.folder
        if path.is_dir():
            found.files += [file for file in _below(path) if looks_like_dicom(file)]
        elif not path.exists():
            raise EmptyInput("There is no such file or folder.", path=path)
        elif path.name.upper().startswith(_INDEX):
            files, missing = listed_files(path, limits)
            found.files += files
            found.missing |= {path.parent / name: uid for name, uid in missing.items()}
            if not files and not missing:
                found.files.append(path)
        elif looks_like_dicom(path):
            found.files.append(path)
    return found


def _below(folder: Path) -> Iterator[Path]:
    for found in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in found.relative_to(folder).parts)
        if not hidden and found.is_file():
            yield found
