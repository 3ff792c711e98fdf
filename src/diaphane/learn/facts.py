"""Facts of a dataset, as ``fingerprint.json`` holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diaphane.core.files import write_text
from diaphane.learn.duplicates import Twin
from diaphane.learn.symmetry import Symmetries

Spread = dict[str, float]
"""``{"low", "median", "high"}`` over cases."""
Intensity = dict[str, float]
"""``{"mean", "std", "p0_5", "p50", "p99_5"}`` of sampled voxels of one channel."""


@dataclass(frozen=True)
class SegmentationFacts:
    """What the masks of a dataset show.

    Attributes
    ----------
    labels:
        Mask value by name, background left out.
    cases:
        How many cases have the label.
    voxels:
        Median number of voxels over the cases that have it.
    share:
        Share of all voxels of the dataset.
    thickness:
        Typical thickness in voxels (1: a line), median over cases; see ``looking.thickness_of``.
    intensity:
        ``"inside"`` the masks and over ``"all"``: per channel.
    spacings:
        ``(z, y, x)`` in mm; ``None`` where not every case states it.
    shapes:
        ``(z, y, x)`` in voxels.
    anisotropy:
        Median slice distance over median pixel size; 1 where not known, or for images.
    empty:
        Cases whose mask has no label.
    unmasked:
        Cases without a mask, which are left out.
    """

    labels: dict[str, int]
    cases: dict[str, int]
    voxels: dict[str, float]
    share: dict[str, float]
    thickness: dict[str, float]
    intensity: dict[str, list[Intensity]]
    spacings: tuple[Spread | None, Spread | None, Spread | None]
    shapes: tuple[Spread, Spread, Spread]
    anisotropy: float
    empty: int
    channels: int
    eight_bit: bool
    unit: str
    unmasked: int = 0


@dataclass(frozen=True)
class Fingerprint:
    """Facts of a dataset; cases appear under their pseudonyms only.

    Attributes
    ----------
    cases, groups, refused:
        Counts; refused cases could not be read.
    grouped:
        Whether the dataset says which cases belong together.
    classes:
        Label column -> class -> cases.
    class_groups:
        Label column -> class -> groups.
    splits, split_classes:
        Split -> cases, and split -> label column -> class -> cases; empty when there are none.
    slices, height, width, aspect:
        Over cases; ``aspect`` is height over width.
    spacing, spacings:
        Median ``(z, y, x)`` in mm, and its spread; ``None`` where not every case states it.
    intensity:
        Per channel, over ``"all"`` and ``"inside"`` what is judged (mask, outline, or what is
        brighter than the darkest voxel).
    grey_levels:
        Smallest and largest voxel value.
    eight_bit:
        All values are whole and in 0..255.
    coloured:
        Every image has the same channels, and they say different things: colours, or several
        volumes a case. False where grey and colour files are mixed.
    masks, masked, outlined:
        Whether every case has a mask that is not empty; how many have; whether every image is black
        outside an outline.
    mask_extent, mask_extent_mm:
        98th percentile of height and width of masks, or of outlines, in pixels and in mm.
    symmetries:
        Which mirrorings leave images and labels what they are; ``None`` where it was not tested.
    given_concepts:
        ``concept:`` columns.
    concept_auc:
        How well each concept alone tells the classes apart: the best AUC of one class against the
        rest, in either direction, by its value or by its absence.
    duplicates, near_duplicates:
        Pairs of cases with the same voxels, and with nearly the same picture.
    unreadable:
        Case and code of its error.
    notes:
        What the reader of the dataset said.
    one_hot:
        Each case has the same value in all of several label columns but one.
    segmentation:
        What the masks show; ``None`` unless there are masks and no labels.
    """

    kind: str
    cases: int
    groups: int
    grouped: bool
    refused: int
    classes: dict[str, dict[str, int]]
    class_groups: dict[str, dict[str, int]]
    splits: dict[str, int]
    split_classes: dict[str, dict[str, dict[str, int]]]
    slices: Spread
    height: Spread
    width: Spread
    aspect: Spread
    spacing: tuple[float | None, float | None, float | None]
    spacings: tuple[Spread | None, Spread | None, Spread | None]
    channels: int
    coloured: bool
    modality: str
    unit: str
    grey_levels: tuple[float, float]
    eight_bit: bool
    intensity: dict[str, list[Intensity]]
    masks: bool
    outlined: bool
    mask_extent: tuple[int, int] | None
    mask_extent_mm: tuple[float, float] | None = None
    symmetries: Symmetries | None = None
    given_concepts: tuple[str, ...] = ()
    concept_auc: dict[str, float] = field(default_factory=dict)
    duplicates: tuple[Twin, ...] = ()
    near_duplicates: tuple[Twin, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    class_order: dict[str, tuple[str, ...]] = field(default_factory=dict)
    one_hot: bool = False
    masked: int = 0
    segmentation: SegmentationFacts | None = None

    def write(self, path: Path) -> None:
        """Write ``fingerprint.json`` in one step."""
        write_text(path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def plain_dict(found: Fingerprint) -> dict[str, Any]:
    """JSON-able form of a fingerprint."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(found)))
    return plain
