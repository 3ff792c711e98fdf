"""Everything that diaphane can raise on purpose.

::

    DiaphaneError                 exit 3   anything below
    ├── UsageError                exit 2   the command or call itself is wrong
    ├── MissingExtra              exit 2   an optional package is not installed
    ├── InputError                exit 3   a file, folder or study cannot be used
    │   ├── EmptyInput                     nothing to read there
    │   ├── UnreadableFile                 damaged, truncated or of unknown format
    │   ├── NoPixelData                    a DICOM object without an image
    │   ├── InvalidVoxels                  NaN, infinite or undeclared values
    │   ├── GeometryError                  cannot be placed in space
    │   │   ├── MissingSpacing             millimetres are needed and not known
    │   │   ├── MissingSlice               a gap in the stack
    │   │   ├── DuplicateSlice             two slices at one position
    │   │   └── GantryTilt                 slices sheared against their normal
    │   ├── MixedSeries                    two geometries, frames or patients in one series
    │   ├── OverLimit                      larger, deeper or slower to read than is allowed
    │   ├── AmbiguousInput                 several candidates, none preferred
    │   ├── NotApplicable                  not the kind of study this app reads
    │   │   └── NoLungs                    no lungs in the field of view
    │   ├── DatasetError                   a manifest, split or label is wrong
    │   └── RecipeError                    a recipe is wrong or does not fit its input
    ├── BundleError               exit 3   a bundle cannot be used
    │   ├── BundleNotFound
    │   ├── BundleCorrupt                  a hash does not match
    │   ├── BundleTooNew                   made by a newer diaphane
    │   └── UnsafeArchive                  a zip that writes outside its folder
    ├── PlanError                 exit 3   a training plan is wrong
    ├── Diverged                  exit 3   training came to numbers that are none
    ├── OutputError               exit 3   results cannot be written
    ├── PrivacyError              exit 3   identity would leave through the wrong door
    ├── NetworkError              exit 3   a peer cannot be reached, refuses or breaks off
    └── Interrupted               exit 130 stopped by the user; state is kept
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from diaphane.core.text import printable


class DiaphaneError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    problem:
        What is wrong, as one sentence; control characters in it are written out.
    path:
        The file or folder concerned, if any.
    remedy:
        What the user can do about it, as one sentence.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, problem: str, *, path: str | Path | None = None, remedy: str | None = None
    ) -> None:
        self.problem = printable(problem, lines=True)
        self.path = None if path is None else str(path)
        self.remedy = None if remedy is None else printable(remedy, lines=True)
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{printable(self.path)}: " if self.path else ""
        then = f" {self.remedy}" if self.remedy else ""
        return f"{where}{self.problem}{then}"

    @property
    def code(self) -> str:
        """The class name, stable for machines (``rejected.csv``, ``--json``)."""
        return type(self).__name__


class UsageError(DiaphaneError):
    """The command line or the call is wrong."""

    exit_code = 2


class MissingExtra(DiaphaneError):
    """An optional package is not installed."""

    exit_code = 2

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package '{package}', which is not installed.",
            remedy=f"Install it with: pip install 'diaphane[{extra}]'",
        )
        self.extra = extra


class InputError(DiaphaneError):
    """A file, folder or study cannot be used."""


class EmptyInput(InputError):
    """There is nothing to read."""


class UnreadableFile(InputError):
    """The file is damaged, truncated or of an unknown format."""


class NoPixelData(InputError):
    """A DICOM object without an image."""


class InvalidVoxels(InputError):
    """Voxels are NaN, infinite or outside what the file declares."""


class GeometryError(InputError):
    """The image cannot be placed in space."""


class MissingSpacing(GeometryError):
    """Millimetres are needed, and the file does not give them."""


class MissingSlice(GeometryError):
    """The stack has a gap."""


class DuplicateSlice(GeometryError):
    """Two slices lie at the same position."""


class GantryTilt(GeometryError):
    """Slices are sheared against their normal."""


class MixedSeries(InputError):
    """One series holds two geometries, frames of reference or patients."""


class OverLimit(InputError):
    """The input is larger, deeper or slower to read than the limits of reading allow."""


class AmbiguousInput(InputError):
    """Several inputs fit, and no rule prefers one."""


class NotApplicable(InputError):
    """The study is not of the kind that the app reads."""


class NoLungs(NotApplicable):
    """No lungs in the field of view."""


class DatasetError(InputError):
    """A manifest, a split or a label of a dataset is wrong."""


class RecipeError(InputError):
    """A recipe is wrong or does not fit its input."""


class BundleError(DiaphaneError):
    """A bundle cannot be used."""


class BundleNotFound(BundleError):
    """No bundle of that name or path."""


class BundleCorrupt(BundleError):
    """A file of the bundle is missing or does not match its hash."""


class BundleTooNew(BundleError):
    """The bundle was made by a newer diaphane."""


class UnsafeArchive(BundleError):
    """An archive that would write outside its folder."""


class PlanError(DiaphaneError):
    """A training plan is wrong or does not fit its dataset."""


class Diverged(DiaphaneError):
    """Training came to a loss or a gradient that is not finite; the last good state is kept."""


class OutputError(DiaphaneError):
    """Results cannot be written."""


class PrivacyError(DiaphaneError):
    """Identity would leave through the wrong door."""


class NetworkError(DiaphaneError):
    """A peer on the network cannot be reached, refuses, or breaks off."""


class Interrupted(DiaphaneError):
    """Stopped by the user; what was finished is kept."""

    exit_code = 130
