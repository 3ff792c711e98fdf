"""What every data set is once it is opened: entries that read themselves when asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from diaphane.acquire.archives import Unpacked
from diaphane.acquire.raster import natural
from diaphane.core.case import Case, Identified, Identity, SourceRef
from diaphane.core.errors import DatasetError, InputError
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser, plain

SPLITS = ("train", "val", "test")

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Parts:
    """What an entry reads: volumes by name, a mask on the grid of the first, its source."""

    volumes: Mapping[str, Volume]
    mask: Volume | None = None
    source: SourceRef | None = None
    identity: Identity | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Entry:
    """One case of a data set, not yet read.

    Attributes
    ----------
    name:
        As typed, the manifest's cell, or ``SPLIT/INDEX``; only for the user's own terminal
        and CSV files.
    key:
        Keyed pseudonym of the case.
    group:
        Keyed pseudonym of the patient, or of what the data set says belongs together.
    labels, split, concepts, subgroups, points:
        As in :class:`~diaphane.core.case.Case`.
    has_mask:
        Whether the case has a mask.
    """

    name: str = field(repr=False)
    key: str
    group: str
    read: Callable[[], Parts] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    concepts: Mapping[str, float] = field(default_factory=dict)
    subgroups: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    has_mask: bool = False

    def load(self) -> Case:
        """Read the case, without identity; may be called from several threads.

        Raises
        ------
        InputError
            When a file of it cannot be used.
        """
        parts = self.read()
        case = Case(
            key=self.key,
            volumes=parts.volumes,
            mask=parts.mask,
            labels=self.labels,
            group=self.group,
            split=self.split,
            concepts=self.concepts,
            subgroups=self.subgroups,
            points=self.points,
            source=parts.source,
        )
        return plain(Identified(case, parts.identity or Identity()))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Cases of one source, in its own order.

    Attributes
    ----------
    kind:
        "manifest", "nnunet", "medmnist", "class_folders", "dicom", "stack" or "images".
    entries:
        In the source's own order, so that splits drawn by seed are the same everywhere.
    label_columns:
        Names of the label columns; a single one is "label".
    classes:
        Class names by label column, sorted naturally.
    notes:
        What the reader wants to be known: ignored columns, guessed roles.
    folds:
        Names of the training and validation cases of each fold of ``splits_final.json``.
    has_masks:
        Whether cases have masks.
    """

    kind: str
    entries: tuple[Entry, ...]
    label_columns: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folds: tuple[tuple[frozenset[str], frozenset[str]], ...] = ()
    has_masks: bool = False
    read_mask_labels: Callable[[], Mapping[int, str]] = field(default=dict, repr=False)

    @property
    def has_splits(self) -> bool:
        """Whether the source says which cases are for training, validation or test."""
        return any(entry.split is not None for entry in self.entries)

    @property
    def mask_labels(self) -> Mapping[int, str]:
        """Name by mask value, background left out; may have to read the masks."""
        return self.read_mask_labels()

    def of_split(self, split: str) -> tuple[Entry, ...]:
        """Entries of "train", "val" or "test"; all of them for "all"."""
        return tuple(e for e in self.entries if split in ("all", e.split))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


def kept(dataset: Dataset, room: Unpacked) -> Dataset:
    """A data set in an unpacked archive, which lives as long as the data set or any entry."""

    def reader(read: Callable[[], Parts]) -> Callable[[], Parts]:
        def inside() -> Parts:
            with room.naming():
                parts = read()
            source = None if parts.source is None else parts.source.keeping(room)
            return replace(parts, source=source)

        return inside

    def mask_labels() -> Mapping[int, str]:
        with room.naming():
            return dataset.read_mask_labels()

    entries = tuple(
        replace(e, name=room.shown(e.name), read=reader(e.read)) for e in dataset.entries
    )
    return replace(dataset, entries=entries, read_mask_labels=mask_labels)


def classes_of(entries: Sequence[Entry], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Distinct labels by column, in natural order."""
    return {
        column: tuple(
            sorted({e.labels[column] for e in entries if column in e.labels}, key=natural)
        )
        for column in columns
    }


def require_whole_groups(entries: Sequence[Entry], names: Mapping[str, str], path: Path) -> None:
    """Refuse a data set whose own splits separate a group.

    Parameters
    ----------
    entries:
        All entries.
    names:
        The data set's own name of each group, for the message.
    path:
        The file that states the splits.

    Raises
    ------
    DatasetError
        Naming the first such group.
    """
    place: dict[str, str] = {}
    for entry in entries:
        if entry.split is None:
            continue
        before = place.setdefault(entry.group, entry.split)
        if before != entry.split:
            raise DatasetError(
                f"The group '{names.get(entry.group, entry.group)}' is in both '{before}' and "
                f"'{entry.split}'.",
                path=path,
                remedy="Put all cases of a group into one split.",
            )


def refused(name: str, error: InputError, pseudonymiser: Pseudonymiser) -> Entry:
    """An entry that cannot be used: loading it raises ``error``."""

    def read() -> Parts:
        raise error

    return Entry(
        name,
        pseudonymiser.pseudonym(name, "case"),
        pseudonymiser.pseudonym(name, "case"),
        read,
    )
