"""Entries of a data set through a segmentation bundle, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from diaphane.acquire import Entry
from diaphane.bundle import Segmentation, Segmenter
from diaphane.bundle.segmenter import MEMORY_MB
from diaphane.core.case import Case
from diaphane.core.errors import DiaphaneError, InputError, UsageError
from diaphane.core.protocols import Progress


@dataclass(frozen=True)
class Outlining:
    """How a bundle goes over images; see :meth:`~diaphane.bundle.Segmenter.segment`.

    Raises
    ------
    UsageError
        The overlap is not from 0 to below 1.
    """

    overlap: float | None = None
    mirror: bool | None = None
    memory_mb: int = MEMORY_MB
    probabilities: bool = False
    uncertainty: bool = False

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise UsageError(f"Overlap is from 0 to below 1, not {self.overlap:g}.")


AS_SHIPPED = Outlining()
"""Overlap and mirroring as the bundle's manifest says."""


@dataclass(frozen=True, eq=False)
class Outlined:
    """What became of one entry: a segmentation, an error, or neither when it was not wanted.

    ``split`` is the bundle's stored split of the case, when it knows the case.
    """

    entry: Entry
    case: Case | None = None
    found: Segmentation | None = None
    error: Exception | None = None
    split: str | None = None


def outlines(
    segmenter: Segmenter,
    entries: Sequence[Entry],
    how: Outlining,
    progress: Progress,
    *,
    known: bool = False,
    wanted: Callable[[str | None], bool] | None = None,
) -> Iterator[Outlined]:
    """Read and segment every entry, in order; one case is in memory at a time.

    An entry that cannot be used is answered by its error and the rest goes on; only errors of
    the bundle itself are raised.

    Parameters
    ----------
    known:
        Look up each case's stored split.
    wanted:
        Asked with the stored split; cases that are not wanted are not segmented.
    """
    for number, entry in enumerate(entries):

        def share(stage: str, part: float, number: int = number) -> None:
            progress(stage, (number + part) / len(entries))

        try:
            case = entry.load()
            split = segmenter.split_of(case) if known else None
            if wanted is not None and not wanted(split):
                yield Outlined(entry, split=split)
                continue
            found = segmenter.segment(
                case,
                overlap=how.overlap,
                mirror=how.mirror,
                memory_mb=how.memory_mb,
                probabilities=how.probabilities,
                uncertainty=how.uncertainty,
                progress=share,
            )
        except InputError as error:
            yield Outlined(entry, error=error)
        except DiaphaneError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd file must not end a long batch
            yield Outlined(entry, error=error)
        else:
            yield Outlined(entry, case, found, split=split)
        share("segment", 1.0)
