"""The artefact that ships: a model, its way of being fed, and what its numbers mean."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.archive import MANIFEST, REFERENCE
from diaphane.bundle.loaded import Loaded
from diaphane.bundle.manifest import Manifest
from diaphane.bundle.prepare import PreparedCase, prepare_case
from diaphane.bundle.reference import reference_from_bytes
from diaphane.bundle.run import OnnxRunner, Output, run_cases
from diaphane.core.case import Case
from diaphane.core.decision import UnlikeTraining
from diaphane.core.errors import BundleCorrupt
from diaphane.core.finding import BundleRef, ConceptEvidence, Evidence
from diaphane.core.protocols import Runner


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle says about one case.

    Attributes
    ----------
    probability:
        Calibrated probability by class; in a multi-label task by label.
    logit:
        ``(K,)`` before calibration.
    prediction_set:
        Classes that cannot be excluded; empty when the bundle has no fitted sets.
    unlike_training, distance:
        Whether the input is unlike the training set, and its score (1 is the limit);
        ``False`` and ``None`` when the bundle holds no reference.
    contributions:
        By target class: ``bias``, ``image`` and each concept's name; they add up to its logit.
    """

    key: str
    probability: Mapping[str, float]
    logit: NDArray[np.float32]
    prediction_set: tuple[str, ...]
    unlike_training: bool
    distance: float | None
    contributions: Mapping[str, Mapping[str, float]]
    output: Output
    prepared: PreparedCase


class Bundle(Loaded):
    """A loaded classification bundle; made by :func:`diaphane.bundle.load_bundle`.

    Attributes
    ----------
    reference:
        Tells inputs unlike the training set; ``None`` when the bundle holds none.
    """

    what = "classification"
    manifest: Manifest

    def __init__(self, files: Mapping[str, bytes], path: Path, threads: int | None = None) -> None:
        super().__init__(files, path, threads)
        self.manifest = Manifest.from_json(files[MANIFEST], path=str(path))
        self.reference: UnlikeTraining | None = None
        if REFERENCE in files:
            self.reference = reference_from_bytes(files[REFERENCE], path=str(path))

    @functools.cached_property
    def runner(self) -> Runner:
        """The graph, loaded at first use."""
        return OnnxRunner(self.model, self.threads, path=str(self.path))

    def prepare(self, case: Case) -> PreparedCase:
        """Network input of a case; see :func:`prepare_case`."""
        return prepare_case(case, self.manifest.input, self.recipe)

    def run(
        self, prepared: Sequence[PreparedCase], *, runner: Runner | None = None
    ) -> list[Output]:
        """Run the graph, in batches; ``runner`` stands in for the bundle's own.

        Raises
        ------
        BundleCorrupt
            The graph and the manifest do not fit each other.
        """
        with self.fitting():
            outputs = run_cases(runner or self.runner, prepared, self.manifest.tta)
        for output in outputs:
            if output.logit.shape != (self.manifest.outputs,):
                raise BundleCorrupt("model.onnx gives other classes than bundle.json names.")
        return outputs

    def predict(self, case: Case) -> Prediction:
        """Prepare, run and decide one case."""
        return self.predict_prepared([self.prepare(case)])[0]

    def predict_prepared(self, prepared: Sequence[PreparedCase]) -> list[Prediction]:
        """Run and decide several prepared cases, in order."""
        outputs = self.run(prepared)
        return [self._decide(p, o) for p, o in zip(prepared, outputs, strict=True)]

    def evidence(self, prediction: Prediction, target: str | None = None) -> Evidence:
        """Why the case scored as it did; the parts add up to the target's logit.

        ``target`` is a class with a logit of its own (``manifest.targets``); by default the
        positive class, or else the most likely one.
        """
        manifest, out, prepared = self.manifest, prediction.output, prediction.prepared
        if target is None:
            target = max(manifest.targets, key=lambda name: prediction.probability[name])
        k = manifest.targets.index(target)
        concepts = tuple(
            ConceptEvidence(
                name=name,
                value=None if np.isnan(value) else float(value),
                contribution=float(out.concepts[j, k]),
                given=not np.isnan(value),
            )
            for j, (name, value) in enumerate(
                zip(manifest.input.concept_names, prepared.concepts, strict=True)
            )
        )
        maps = np.ascontiguousarray(out.maps[..., k])
        return Evidence(
            target=target,
            logit=float(out.logit[k]),
            bias=float(out.bias[k]),
            image_contribution=float(maps.sum(dtype=np.float64)),
            concepts=concepts,
            maps=maps,
            attention=out.attention,
            image=prepared.image.mean(axis=1),
            mask=prepared.mask,
            receptive_field=manifest.receptive_field,
            pixel_mm=prepared.pixel_mm or manifest.input.pixel_mm,
            placement=prepared.placement,
        )

    def ref(self) -> BundleRef:
        """Which bundle spoke, with what its card states.

        ``facts`` holds the manifest's descriptive fields, and for reports ``curves``
        (``{concept: {"x", "y"}}`` for the first target), ``faithfulness`` as plain numbers,
        ``set_level``, ``coverage`` and ``mean_set_size``.
        """
        m = self.manifest.model_dump(mode="json")
        kept = (
            "task", "classes", "positive", "operating_points", "receptive_field", "metrics",
            "metrics_about", "meaning", "intended_use", "licence", "sources", "made_by", "model",
        )  # fmt: skip
        facts = {name: m[name] for name in kept}
        facts["curves"] = {
            name: {"x": curve["value"], "y": [row[0] for row in curve["contribution"]]}
            for name, curve in m["concept_curves"].items()
        }
        facts["faithfulness"] = {
            name: number
            for name, figure in m["faithfulness"].items()
            for number in [figure.get("value") if isinstance(figure, dict) else figure]
            if isinstance(number, int | float) and name not in {"seed", "cases"}
        }
        sets = self.manifest.prediction_sets
        if sets is not None:
            facts["set_level"] = sets.level
            facts["coverage"] = sets.coverage
            facts["mean_set_size"] = sets.mean_size
        return BundleRef(
            name=self.manifest.name,
            version=self.manifest.version,
            sha256=self.sha256,
            title=self.manifest.title,
            facts=facts,
        )

    def _decide(self, prepared: PreparedCase, output: Output) -> Prediction:
        manifest = self.manifest
        p = manifest.calibration.probabilities(output.logit[None])
        members: tuple[str, ...] = ()
        sets = manifest.prediction_sets
        if sets is not None:
            if manifest.task == "multilabel":  # labels are judged one by one, none must be in
                inside = (1.0 - p[0]) <= np.asarray(sets.limit)
            else:
                inside = sets.members(p)[0]
            members = tuple(c for c, m in zip(manifest.classes, inside, strict=True) if m)
        distance = None
        if self.reference is not None:
            scores = self.reference.scores(output.features[None], prepared.concepts[None])
            distance = float(scores[0])
        names = manifest.input.concept_names
        return Prediction(
            key=prepared.key,
            probability={c: float(v) for c, v in zip(manifest.classes, p[0], strict=True)},
            logit=output.logit,
            prediction_set=members,
            unlike_training=distance is not None and distance > 1.0,
            distance=distance,
            contributions={
                target: {
                    "bias": float(output.bias[k]),
                    "image": float(output.maps[..., k].sum(dtype=np.float64)),
                    **{name: float(output.concepts[j, k]) for j, name in enumerate(names)},
                }
                for k, target in enumerate(manifest.targets)
            },
            output=output,
            prepared=prepared,
        )
