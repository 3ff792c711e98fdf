"""From trained networks to the bundle that ships."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.bundle import (
    Bundle,
    ConceptCurve,
    Manifest,
    Seen,
    Source,
    load_classifier,
    prepare_case,
    write_bundle,
)
from diaphane.core.case import Case
from diaphane.core.errors import BundleError
from diaphane.core.protocols import Progress, silent
from diaphane.learn.augment import Sample
from diaphane.learn.card import licence_text, model_card
from diaphane.learn.cases import Batch, CaseRow, CaseStore
from diaphane.learn.judging import Judgement
from diaphane.learn.plan_file import PlanFile
from diaphane.learn.plans import Plan
from diaphane.learn.splits import Member
from diaphane.models import Ensemble, EvidenceNet, export_onnx
from diaphane.preprocess import Recipe

PARITY = 1e-4
"""Largest gap of logits between torch and the shipped graph."""


@dataclass(frozen=True, eq=False)
class Making:
    """What a bundle is made of."""

    plan: Plan
    nets: Sequence[EvidenceNet]
    members: Sequence[Member]
    store: CaseStore
    splits: Sequence[str]
    judgement: Judgement
    salt: str


def salt_of(plan: PlanFile, seed: int) -> str:
    """Salt of the hashes in ``seen``: a function of the plan's name and seed."""
    text = f"{plan.name}/{plan.version}/{seed}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_bundle(
    making: Making,
    folder: Path,
    probes: Sequence[Case],
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Bundle:
    """Fuse, export, write, check the graph against torch, and test the explanations.

    Parameters
    ----------
    probes:
        Cases for the parity check and the tests of faithfulness, unseen ones if there are any.

    Raises
    ------
    BundleError
        The exported graph does not say what the networks say.
    """
    from diaphane.explain import faithfulness

    plan = making.plan
    ensemble = Ensemble(list(making.nets), plan.views).eval()
    manifest = _manifest(making, ensemble)
    with tempfile.TemporaryDirectory() as room:
        model = Path(room) / "model.onnx"
        export_onnx(ensemble, model)
        _write(folder, manifest, model, making)
        bundle = load_classifier(folder)
        check_parity(bundle, ensemble, probes[:8])
        figures = faithfulness(bundle, list(probes), seed, progress=progress)
        manifest = manifest.model_copy(update={"faithfulness": figures})
        _write(folder, manifest, model, making)
    return load_classifier(folder)


def check_parity(bundle: Bundle, ensemble: Ensemble, cases: Sequence[Case]) -> float:
    """Largest gap of logits between bundle and torch on some cases; see :func:`check_gap`."""
    pairs = []
    for case in cases:
        said = bundle.predict(case).logit
        prepared = prepare_case(case, bundle.manifest.input, bundle.recipe)
        fed = Batch.of([Sample(prepared.image, prepared.mask, prepared.concepts)])
        with torch.inference_mode():
            own = ensemble(fed.image, fed.mask, fed.length, fed.concepts).logit[0].numpy()
        pairs.append((said, own))
    return check_gap(pairs, PARITY)


def check_gap(
    pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]], most: float
) -> float:
    """Largest gap between logits of a graph and of torch, relative to 1 or torch's logit.

    Raises
    ------
    BundleError
        It is above ``most``, or not a number.
    """
    gaps = [np.max(np.abs(own - said) / np.maximum(1.0, np.abs(own))) for said, own in pairs]
    gap = float(np.max(gaps, initial=0.0))
    if not gap <= most:
        raise BundleError(f"The exported graph differs from the networks by {gap:.2g}.")
    return gap


def _write(folder: Path, manifest: Manifest, model: Path, making: Making) -> None:
    write_bundle(
        folder,
        manifest,
        model,
        card=model_card(manifest),
        licence=licence_text(manifest),
        reference=making.judgement.unlike,
    )


def _manifest(making: Making, ensemble: Ensemble) -> Manifest:
    plan, judgement = making.plan, making.judgement
    config = ensemble.config
    parameters = sum(p.numel() for p in ensemble.parameters())
    figures = judgement.figures
    return Manifest(
        name=plan.name,
        version=plan.version,
        title=plan.title or plan.name,
        reading=plan.reading,
        task=plan.task,
        classes=plan.class_names,
        positive=plan.output_names[0] if plan.task == "binary" else None,
        label_columns=plan.label_columns,
        positive_values=(
            tuple(plan.positive[c] for c in plan.label_columns) if plan.task == "multilabel" else ()
        ),
        ordinal=plan.ordinal,
        input=plan.input,
        recipe=Recipe.from_dict(plan.recipe).to_dict(),
        calibration=judgement.calibration,
        prediction_sets=judgement.sets,
        operating_points=judgement.points,
        concept_curves=concept_curves(ensemble, plan, making.store.concepts),
        receptive_field=config.receptive_field if config.use_image else None,
        metrics=dict(figures.metrics) if figures is not None else {},
        metrics_about=plain(judgement.about),
        seen=seen_of(making.members, making.splits, making.store.rows, making.salt),
        meaning=plan.meaning,
        intended_use=plan.intended_use,
        licence=plan.licence,
        sources=tuple(Source(**source.model_dump()) for source in plan.sources),
        made_by=versions(),
        model={
            "members": len(making.nets),
            "views": list(plan.views),
            "parameters": parameters,
            "network": plain(config.to_dict()),
        },
    )


def concept_curves(
    ensemble: Ensemble, plan: Plan, concepts: NDArray[np.float32], points: int = 33
) -> dict[str, ConceptCurve]:
    """Mean shape function of the members by concept, over the middle 98 % of the cases."""
    if not ensemble.config.has_concepts:
        return {}
    curves = {}
    for j, name in enumerate(plan.input.concept_names):
        low, high = np.nanpercentile(concepts[:, j].astype(np.float64), [1, 99])
        grid = np.full((points, concepts.shape[1]), np.nan, dtype=np.float32)
        grid[:, j] = np.linspace(low, high, points)
        with torch.inference_mode():
            each = [
                net.shapes(torch.from_numpy(grid))[:, j].numpy()
                for net in ensemble.members
                if isinstance(net, EvidenceNet) and net.shapes is not None
            ]
        mean = np.asarray(np.mean(each, axis=0, dtype=np.float64))
        curves[name] = ConceptCurve(
            value=tuple(float(v) for v in grid[:, j]),
            contribution=tuple(tuple(float(v) for v in row) for row in mean),
        )
    return curves


def seen_of(
    members: Sequence[Member], splits: Sequence[str], rows: Sequence[CaseRow], salt: str
) -> Seen:
    """Hashes by what a case was used for; ``val`` holds the split of that name if it was."""
    trained = {int(i) for m in members for i in (*m.fit, *m.stop)}
    held = {int(i) for m in members for i in m.held}
    parts: dict[str, list[str]] = {"train": [], "val": [], "calibration": [], "test": []}
    for number, row in enumerate(rows):
        if number in trained:
            part = "train"
        elif number in held:
            part = "val" if splits[number] == "val" else "calibration"
        else:
            part = "test"
        parts[part].append(row.hash)
    known = set(parts["train"]) | set(parts["val"]) | set(parts["calibration"])
    parts["test"] = [h for h in parts["test"] if h not in known]
    return Seen(salt=salt, **{name: tuple(sorted(h)) for name, h in parts.items()})


def versions() -> dict[str, str]:
    """Versions of what makes a bundle."""
    from importlib.metadata import version

    names = ("diaphane", "torch", "numpy", "onnx", "onnxruntime")
    return {name: version(name) for name in names}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    read: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return read
