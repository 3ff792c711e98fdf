"""A segmentation bundle at work: a case goes in, labels on its own grid come out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.archive import MANIFEST
from diaphane.bundle.loaded import Loaded
from diaphane.bundle.pieces import Pieces, divided
from diaphane.bundle.prepare import joined
from diaphane.bundle.restoring import way_back
from diaphane.bundle.run import OnnxRunner
from diaphane.bundle.segmentation import QualityModel, SegmentationManifest
from diaphane.bundle.segmented import QualitySums, entropy, keep_components
from diaphane.bundle.sliding import Lattice, slide
from diaphane.core.case import Case
from diaphane.core.errors import BundleCorrupt, NotApplicable
from diaphane.core.finding import BundleRef
from diaphane.core.geometry import Geometry
from diaphane.core.protocols import Progress, Runner, silent
from diaphane.core.volume import Volume

if TYPE_CHECKING:
    from diaphane.preprocess import Trace

Floats = NDArray[np.float32]

MEMORY_MB = 2048
"""Default of ``memory_mb``; see :meth:`Segmenter.segment`."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a bundle outlines in one case.

    Attributes
    ----------
    labels:
        ``(z, y, x)`` on the case's own grid, with the values that the manifest gives its labels.
    probabilities:
        ``(L, z, y, x)`` float16, one channel a label in the manifest's order, or ``None``.
        Background is what is missing to 1. Taken before components are dropped.
    uncertainty:
        ``(z, y, x)`` float16: entropy of the probabilities over the largest possible one, from
        0 (certain) to 1 (every class as likely), or ``None``.
    volume, unit:
        By label name, in "mm3"; "mm2" for an image of known pixel size, else "px".
    predicted_dice:
        By label name: what Dice the bundle expects, ``None`` where it has no quality model.
    features:
        By label name: what that was computed from.
    """

    key: str
    labels: Volume
    probabilities: Volume | None
    uncertainty: Volume | None
    volume: dict[str, float]
    unit: str
    predicted_dice: dict[str, float | None]
    features: dict[str, dict[str, float]]


class Segmenter(Loaded):
    """A loaded segmentation bundle; made by :func:`diaphane.bundle.load_bundle`."""

    what = "segmentation"
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

    def segment(
        self,
        case: Case,
        *,
        overlap: float | None = None,
        mirror: bool | None = None,
        memory_mb: int = MEMORY_MB,
        probabilities: bool = False,
        uncertainty: bool = False,
        progress: Progress = silent,
    ) -> Segmentation:
        """Outline the manifest's labels in a case.

        The recipe brings the image to the network's grid; windows go over it slab by slab; each
        finished plane becomes probabilities, which are interpolated (linearly) to the native
        grid and decided there; components are kept as the manifest says.

        Parameters
        ----------
        overlap:
            Share that neighbouring windows have in common; the manifest's own by default. Less
            is faster.
        mirror:
            ``False`` leaves out the mirrored windows that the manifest asks for.
        memory_mb:
            Bound in MiB of what is held besides the case's voxels and the network: the prepared
            image, the logits at work and the labels (and what ``probabilities`` and
            ``uncertainty`` ask for). Where the whole would need more, the last pointwise steps
            of the recipe are done window by window, and slabs go along the axis that needs least.
            Answers do not depend on it beyond rounding.
        progress:
            Told "segment" and the share done.

        Raises
        ------
        NotApplicable
            Other channels than the network's, volumes on different grids, or a case that needs
            more than ``memory_mb``; the message says how much.
        InvalidVoxels
            NaN or infinite voxels.
        RecipeError, MissingSpacing
            The recipe does not fit the case.
        BundleCorrupt
            The graph does not fit the manifest.
        """
        manifest = self.manifest
        native = joined(case.volumes).require_finite()
        count = len(manifest.labels)
        wanted = _Wanted(native.shape, count, probabilities=probabilities, uncertainty=uncertainty)
        share = manifest.patch.overlap if overlap is None else overlap
        image, trace, axis = self._prepared(native, wanted, share, memory_mb)
        back = way_back(trace.passage.reversed(), axis, count)
        sums = QualitySums(count)
        slabs = slide(
            image, manifest.patch, self._run, overlap=overlap, mirror=mirror, axis=axis,
            progress=lambda part: progress("segment", 0.02 + 0.95 * part),
        )  # fmt: skip
        progress("segment", 0.02)
        for slab in slabs:
            if slab.shape[1] != count + 1:
                raise BundleCorrupt(
                    f"model.onnx gives {slab.shape[1]} classes; bundle.json names {count} labels "
                    "beside background.",
                    path=self.path,
                )
            for plane in slab:
                p = _softmax(plane)
                sums.add(p, p.argmax(axis=0))
                for number, values in back.take(p[1:]):
                    wanted.put(back.across, number, back.part, values)
        index = keep_components(wanted.index, manifest.labels, copy=False)
        features = sums.features()
        volume, unit = _volumes(index, native.geometry, manifest.classes)
        labels = np.array([0, *(label.value for label in manifest.labels)])
        kind = np.uint8 if labels.max() <= 255 else np.uint16
        same = (labels == np.arange(count + 1)).all() and index.dtype == kind
        drawn = index if same else labels.astype(kind)[index]
        progress("segment", 1.0)
        return Segmentation(
            key=case.key,
            labels=Volume(drawn, native.geometry, "SEG"),
            probabilities=None
            if wanted.probability is None
            else Volume(wanted.probability, native.geometry, "OT"),
            uncertainty=None
            if wanted.uncertainty is None
            else Volume(wanted.uncertainty, native.geometry, "OT"),
            volume=volume,
            unit=unit,
            predicted_dice={
                name: predicted_dice(manifest.quality.get(name), features[k])
                for k, name in enumerate(manifest.classes, start=1)
            },
            features={name: features[k] for k, name in enumerate(manifest.classes, start=1)},
        )

    def _prepared(
        self, native: Volume, wanted: _Wanted, overlap: float, memory_mb: int
    ) -> tuple[NDArray[Any] | Pieces, Trace, int]:
        """The image for the network, the way it took, and the axis that slabs go along."""
        patch = self.manifest.patch
        first, rest = divided(self.recipe)
        done = first.apply(native, threads=self.threads)
        if done.volume.channels != patch.channels:
            raise NotApplicable(
                f"The image has {done.volume.channels} channels, the network takes "
                f"{patch.channels}.",
                remedy="Convert it first, or use a recipe with a grey step.",
            )
        before = 0 if done.volume.voxels is native.voxels else done.volume.voxels.nbytes
        lattice = Lattice.over(done.volume.shape, patch.size, overlap)
        needs = _needs(lattice, len(self.manifest.labels) + 1)
        limit = (memory_mb << 20) - wanted.nbytes
        # A step needs its input and its result at once.
        whole = max(before, 4 * done.volume.voxels.size) * (2 if rest.steps else 1)
        if needs[0] + whole <= limit or not rest.steps:
            voxels = rest.apply(done.volume, threads=self.threads).volume.voxels
            image: NDArray[Any] | Pieces = voxels if voxels.ndim == 4 else voxels[None]
            limit -= whole
        else:
            image = Pieces(done.volume, rest)
            limit -= before
        axis = 0 if needs[0] <= limit else int(np.argmin(needs))
        if needs[axis] > limit:
            least = memory_mb + -(-(needs[axis] - limit) >> 20)
            raise NotApplicable(
                f"Segmenting this needs about {least} MB beside the image, and {memory_mb} MB "
                "are allowed.",
                remedy=f"Allow more: --memory {least}",
            )
        return image, done.trace, axis

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, Floats]:
        with self.fitting():
            return self.runner(feeds)


def predicted_dice(model: QualityModel | None, features: Mapping[str, float]) -> float | None:
    """What Dice a quality model expects, 0 to 1; ``None`` without a model."""
    if model is None:
        return None
    terms = zip(model.weight, model.features, strict=True)
    value = model.offset + sum(weight * features[name] for weight, name in terms)
    return float(min(max(value, 0.0), 1.0))


class _Wanted:
    """What is asked for on the native grid, filled plane by plane."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        labels: int,
        *,
        probabilities: bool,
        uncertainty: bool,
    ) -> None:
        self.index = np.zeros(shape, dtype=np.uint8 if labels < 256 else np.uint16)
        self.probability = np.zeros((labels, *shape), np.float16) if probabilities else None
        self.uncertainty = np.zeros(shape, np.float16) if uncertainty else None

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        parts = (self.index, self.probability, self.uncertainty)
        return sum(part.nbytes for part in parts if part is not None)

    def put(self, across: int, number: int, part: tuple[slice, slice], values: Floats) -> None:
        """Decide a native plane from the labels' probabilities ``(L, h, w)``."""
        best = 1.0 - values.sum(axis=0)
        rest = np.maximum(best, 0.0)
        plane = np.zeros(best.shape, dtype=self.index.dtype)
        for label, p in enumerate(values, start=1):
            better = p > best
            plane[better] = label
            np.maximum(best, p, out=best)
        np.moveaxis(self.index, across, 0)[number][part] = plane
        if self.probability is not None:
            np.moveaxis(self.probability, across + 1, 0)[number][:, *part] = values
        if self.uncertainty is not None:
            unsure = entropy(np.concatenate([rest[None], values]))
            unsure /= np.float32(np.log(len(values) + 1))
            np.moveaxis(self.uncertainty, across, 0)[number][part] = unsure


def _needs(lattice: Lattice, classes: int) -> list[int]:
    """Bytes that the logits at work need, by the axis that slabs go along."""
    needs = []
    for axis in range(3):
        plane = lattice.shape[0] * lattice.shape[1] * lattice.shape[2] // lattice.shape[axis]
        at_work = 6 * 4 * classes * plane  # probabilities of two planes, and what makes them
        needs.append(lattice.held(axis, classes) + at_work)
    return needs


def _softmax(plane: Floats) -> Floats:
    """Probabilities ``(K, h, w)`` of logits over the first axis."""
    p = plane - plane.max(axis=0)
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    return np.asarray(p, dtype=np.float32)


def _volumes(
    index: NDArray[Any], geometry: Geometry, names: Sequence[str]
) -> tuple[dict[str, float], str]:
    """Volume by label name and its unit; counted plane by plane."""
    counts = np.zeros(len(names) + 1, dtype=np.int64)
    for plane in index:
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    dz, dy, dx = geometry.spacing
    size, unit = 1.0, "px"
    if dy is not None and dx is not None:
        if dz is not None:
            size, unit = dz * dy * dx, "mm3"
        elif geometry.shape[0] == 1:
            size, unit = dy * dx, "mm2"
    return {name: float(n) * size for name, n in zip(names, counts[1:], strict=True)}, unit
