"""From trained networks to the segmentation bundle that ships."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diaphane.bundle import (
    LabelSpec,
    Seen,
    SegmentationManifest,
    Segmenter,
    Source,
    load_segmenter,
    write_segmenter,
)
from diaphane.core.errors import BundleError
from diaphane.learn.segmenting.card import model_card
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.judgement import Judgement
from diaphane.learn.segmenting.loop import patch_spec
from diaphane.learn.segmenting.patches import Sampler
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.shipping import versions
from diaphane.learn.splits import Member
from diaphane.models.segment import Committee, SegmentNet
from diaphane.models.segment_files import export_segmenter
from diaphane.preprocess import Recipe

PARITY = 1e-3
"""Largest gap of logits between torch and the shipped graph, relative to 1 or the logit."""


@dataclass(frozen=True, eq=False)
class Making:
    """What a bundle is made of; ``taken`` are the steps that each network took."""

    plan: SegmentationPlan
    nets: Sequence[SegmentNet]
    members: Sequence[Member]
    store: MaskStore
    splits: Sequence[str]
    judgement: Judgement
    salt: str
    taken: tuple[int, ...] = ()


def salt_of(plan: SegmentationPlan) -> str:
    """Salt of the hashes in ``seen``: a function of the plan's name and seed."""
    text = f"{plan.name}/{plan.version}/{plan.seed}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_segmenter(making: Making, folder: Path) -> Segmenter:
    """Fuse, export, write, and check the graph against torch.

    Raises
    ------
    BundleError
        The exported graph does not say what the networks say.
    """
    net = Committee(list(making.nets)).eval()
    plan, judgement = making.plan, making.judgement
    with tempfile.TemporaryDirectory() as room:
        model = Path(room) / "model.onnx"
        export_segmenter(net, model, plan.patch)
        manifest = _manifest(plan, net).model_copy(
            update={
                "labels": judgement.specs(plan),
                "quality": {name: fit.model for name, fit in judgement.quality.items()},
                "metrics": {}
                if judgement.evaluation is None
                else dict(judgement.evaluation.metrics),
                "metrics_about": _plain(judgement.about),
                "seen": _seen(making),
                "model": {**_manifest(plan, net).model, "steps": list(making.taken)},
            }
        )
        write_segmenter(
            folder, manifest, model, card=model_card(manifest), licence=licence_text(plan)
        )
    bundle = load_segmenter(folder)
    check_parity(bundle, net, making)
    return bundle


def plain_segmenter(plan: SegmentationPlan, net: SegmentNet | Committee, folder: Path) -> Path:
    """A bundle of some networks that keeps every component and predicts no Dice."""
    with tempfile.TemporaryDirectory() as room:
        model = Path(room) / "model.onnx"
        export_segmenter(net, model, plan.patch)
        manifest = _manifest(plan, net)
        return write_segmenter(
            folder, manifest, model, card=model_card(manifest), licence=licence_text(plan)
        )


def check_parity(bundle: Segmenter, net: Committee, making: Making) -> float:
    """Largest gap of logits between graph and torch on some patches of training.

    Raises
    ------
    BundleError
        It is above :data:`PARITY`.
    """
    plan = making.plan
    sampler = Sampler(plan, making.store, np.asarray(making.members[0].fit), 0)
    gap = 0.0
    for number in range(3):
        image = sampler.patch(number, plan.patch).image[None]
        said = np.asarray(bundle.runner({"image": image.numpy()})["logit"])
        with torch.inference_mode():
            own = net(image).numpy()
        gap = max(gap, float((np.abs(own - said) / np.maximum(1.0, np.abs(own))).max()))
    if not gap <= PARITY:
        raise BundleError(f"The exported graph differs from the networks by {gap:.2g}.")
    return gap


def licence_text(plan: SegmentationPlan) -> str:
    """Text of ``LICENSE``: the weights' licence and the attribution that the data ask for."""
    lines = [f"Bundle {plan.name}, version {plan.version}", "", f"Licence: {plan.licence}", ""]
    if plan.sources:
        lines.append("The weights are derived from these data; keep this attribution with them:")
    for source in plan.sources:
        lines += ["", f"{source.name}", f"Licence of the data: {source.licence}"]
        lines += [text for text in (source.citation, source.url) if text]
    return "\n".join(lines) + "\n"


def _manifest(plan: SegmentationPlan, net: SegmentNet | Committee) -> SegmentationManifest:
    """What is known before anything is judged."""
    members = len(net.members) if isinstance(net, Committee) else 1
    return SegmentationManifest(
        name=plan.name,
        version=plan.version,
        title=plan.title or plan.name,
        labels=tuple(LabelSpec(value=value, name=name) for name, value in plan.labels.items()),
        patch=patch_spec(plan),
        recipe=Recipe.from_dict(plan.recipe).to_dict(),
        meaning=plan.meaning,
        intended_use=plan.intended_use,
        licence=plan.licence,
        sources=tuple(Source(**source.model_dump()) for source in plan.sources),
        made_by=versions(),
        model={
            "members": members,
            "fused": "mean of the members' logits",
            "parameters": sum(p.numel() for p in net.parameters()),
            "network": _plain(net.config.to_dict()),
            "steps": [plan.steps] * members,
        },
    )


def _seen(making: Making) -> Seen:
    """Hashes by what a case was used for."""
    trained = {int(i) for m in making.members for i in m.fit}
    held = {int(i) for m in making.members for i in m.held}
    parts: dict[str, list[str]] = {"train": [], "val": [], "calibration": [], "test": []}
    for number, row in enumerate(making.store.rows):
        if number in trained:
            part = "train"
        elif number in held:
            part = "val" if making.splits[number] == "val" else "calibration"
        else:
            part = "test"
        parts[part].append(row.hash)
    known = set(parts["train"]) | set(parts["val"]) | set(parts["calibration"])
    parts["test"] = [h for h in parts["test"] if h not in known]
    return Seen(salt=making.salt, **{name: tuple(sorted(h)) for name, h in parts.items()})


def _plain(values: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return plain
