"""What every kind of bundle is once it is read: its files, its recipe, the cases it has seen."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from diaphane.bundle.archive import CARD, LICENCE, MODEL, SUMS
from diaphane.bundle.manifest import Manifest
from diaphane.bundle.prepare import case_hash
from diaphane.bundle.segmentation import SegmentationManifest
from diaphane.core.case import Case
from diaphane.core.errors import BundleCorrupt
from diaphane.core.options import ReadOptions

if TYPE_CHECKING:
    from diaphane.preprocess import Recipe

SEEN = ("train", "val", "calibration")
"""Splits whose cases made the bundle; ``test`` cases did not."""


class Loaded:
    """The part that :class:`~diaphane.bundle.Bundle` and ``Segmenter`` have in common.

    Attributes
    ----------
    what:
        What it does: "classification" or "segmentation".
    manifest:
        What it says about itself.
    path:
        Where it was read from.
    sha256:
        Of its ``SHA256SUMS``, and so of all its files.
    model:
        The ONNX file's bytes.
    size:
        Bytes of all files.
    card, licence:
        Texts.
    """

    what: ClassVar[str]
    manifest: Manifest | SegmentationManifest

    def __init__(self, files: Mapping[str, bytes], path: Path, threads: int | None = None) -> None:
        self.path = path
        self.threads = threads
        self.sha256 = hashlib.sha256(files[SUMS]).hexdigest()
        self.size = sum(len(data) for data in files.values())
        self.card = files[CARD].decode("utf-8", "replace")
        self.licence = files[LICENCE].decode("utf-8", "replace")
        self.model = files[MODEL]

    @property
    def reading(self) -> ReadOptions:
        """How DICOM was read for the cases that it learned from."""
        return self.manifest.reading.options

    def __repr__(self) -> str:
        m = self.manifest
        return f"{type(self).__name__}({m.name} {m.version}, {m.task}: {', '.join(m.classes)})"

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @functools.cached_property
    def recipe(self) -> Recipe:
        """Preprocessing, the same as in training."""
        from diaphane.preprocess import Recipe

        return Recipe.from_dict(self.manifest.recipe)

    @functools.cached_property
    def _splits(self) -> dict[str, str]:
        """Stored split by hash; where an image was in several, the one that saw it counts."""
        seen = self.manifest.seen
        parts = {"test": seen.test, "calibration": seen.calibration, "val": seen.val}
        parts["train"] = seen.train
        return {digest: split for split, hashes in parts.items() for digest in hashes}

    def split_of(self, case: Case) -> str | None:
        """Stored split of a case that the bundle knows, else ``None``."""
        if not self._splits:
            return None
        return self._splits.get(case_hash(case, self.manifest.seen.salt))

    def has_seen(self, case: Case) -> bool:
        """Whether the case took part in making the bundle."""
        return self.split_of(case) in SEEN

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Run the graph inside.

        Raises
        ------
        BundleCorrupt
            ONNX Runtime refuses what it is fed with, so graph and manifest do not fit each other.
        """
        try:
            yield
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise BundleCorrupt(
                    "model.onnx does not fit what bundle.json says.", path=self.path
                ) from error
            raise
