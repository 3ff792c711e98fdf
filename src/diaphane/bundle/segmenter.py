"""A segmentation bundle at work: a case goes in, labels on its own grid come out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from diaphane.bundle.archive import MANIFEST
from diaphane.bundle.loaded import Loaded
from diaphane.bundle.run import OnnxRunner
from diaphane.bundle.segmentation import SegmentationManifest
from diaphane.core.finding import BundleRef
from diaphane.core.protocols import Runner


class Segmenter(Loaded):
    """A loaded segmentation bundle; made by :func:`diaphane.bundle.load_bundle`."""

    manifest: SegmentationManifest

    def __init__(self, files: Mapping[str, bytes], path: Path, threads: int | None = None) -> None:
        super().__init__(files, path, threads)
        self.manifest = SegmentationManifest.from_json(files[MANIFEST], path=str(path))

    @functools.cached_property
    def runner(self) -> Runner:
        """The graph, loaded at first use."""
        return OnnxRunner(
            self.model, self.threads, path=str(self.path), takes=("image",), gives=("logit",)
        )

    def ref(self) -> BundleRef:
        """Which bundle spoke, with what its card states."""
        m = self.manifest.model_dump(mode="json")
        kept = (
            "task", "labels", "metrics", "metrics_about", "meaning", "intended_use", "licence",
            "sources", "made_by", "model", "quality",
        )  # fmt: skip
        return BundleRef(
            name=self.manifest.name,
            version=self.manifest.version,
            sha256=self.sha256,
            title=self.manifest.title,
            facts={name: m[name] for name in kept},
        )
