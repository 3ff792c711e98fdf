"""What a manifest's file cell names: a file, a folder, or one DICOM series of a folder."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.acquire.patients import patient_of
from diaphane.acquire.reading import Loaded, load, load_series
from diaphane.acquire.series import SeriesHeader, SeriesList, find_series
from diaphane.core.errors import InputError
from diaphane.core.options import ReadOptions
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group

MARK = "#"
"""Between a folder and the number or key of the series meant: ``study/ct#3``."""


@dataclass(eq=False)
class Scans:
    """Folders that are searched for series once, however many rows name one of theirs."""

    options: ReadOptions
    _found: dict[Path, SeriesList] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def series(self, folder: Path, wanted: str) -> SeriesHeader:
        """The series in ``folder`` of that number or key.

        Raises
        ------
        EmptyInput, AmbiguousInput
            When there is none, or several.
        """
        with self._lock:
            if folder not in self._found:
                self._found[folder] = find_series(folder, self.options)
            found = self._found[folder]
        return found.choose(wanted)


@dataclass(frozen=True, eq=False)
class Place:
    """One cell: where its image lies, and which series there.

    Attributes
    ----------
    path:
        File or folder.
    series:
        Number or key of the DICOM series; "" for all that is there.
    """

    path: Path
    series: str
    scans: Scans = field(repr=False)

    def load(self) -> Loaded:
        """The image.

        Raises
        ------
        InputError
            When it cannot be used.
        """
        if self.series:
            return load_series(self.scans.series(self.path, self.series))
        return load(self.path, options=self.scans.options)

    def patient(self, names: Pseudonymiser) -> str:
        """Keyed pseudonym of the patient; "" where none is known."""
        if not self.series:
            return patient_of(self.path, names)
        try:
            return patient_group(self.scans.series(self.path, self.series).identity, names)
        except InputError:
            return ""


def split_mark(text: str) -> tuple[str, str]:
    """The folder and the series that a cell names; the series is "" without a mark."""
    folder, mark, series = text.rpartition(MARK)
    return (folder or ".", series) if mark and series else (text, "")
