"""From trained networks to the segmentation bundle that ships."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diaphane.bundle import (
    LabelSpec,
    SegmentationManifest,
    Segmenter,
    Source,
    load_segmenter,
    write_segmenter,
)
from diaphane.learn.card import licence_text
from diaphane.learn.segmenting.card import model_card
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.judgement import Judgement
from diaphane.learn.segmenting.loop import patch_spec
from diaphane.learn.segmenting.patches import Sampler
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.shipping import check_gap, plain, seen_of, versions
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


def make_segmenter(making: Making, folder: Path) -> Segmenter:
    """Fuse, export, write, and check the graph against torch.

    Raises
    ------
    BundleError
        The exported graph does not say what the networks say.
    """
    net = Committee(list(making.nets)).eval()
    plan, judgement = making.plan, making.judgement
    figures = judgement.evaluation
    manifest = _manifest(plan, net)
    manifest = manifest.model_copy(
        update={
            "labels": judgement.specs(plan),
            "quality": {name: fit.model for name, fit in judgement.quality.items()},
            "metrics": {} if figures is None else dict(figures.metrics),
            "metrics_about": plain(judgement.about),
            "seen": seen_of(making.members, making.splits, making.store.rows, making.salt),
            "model": {**manifest.model, "steps": list(making.taken)},
        }
    )
    bundle = load_segmenter(_write(folder, manifest, net, plan))
    check_parity(bundle, net, making)
    return bundle


def plain_segmenter(plan: SegmentationPlan, net: SegmentNet | Committee, folder: Path) -> Path:
    """A bundle of some networks that keeps every component and predicts no Dice."""
    return _write(folder, _manifest(plan, net), net, plan)


def check_parity(bundle: Segmenter, net: Committee, making: Making) -> float:
    """Largest gap of logits between graph and torch on some patches of training.

    See :func:`~diaphane.learn.shipping.check_gap`.
    """
    plan = making.plan
    sampler = Sampler(plan, making.store, np.asarray(making.members[0].fit), 0)
    pairs = []
    for number in range(3):
        image = sampler.patch(number, plan.patch).image[None]
        said = np.asarray(bundle.runner({"image": image.numpy()})["logit"])
        with torch.inference_mode():
            pairs.append((said, net(image).numpy()))
    return check_gap(pairs, PARITY)


def _write(
    folder: Path,
    manifest: SegmentationManifest,
    net: SegmentNet | Committee,
    plan: SegmentationPlan,
) -> Path:
    with tempfile.TemporaryDirectory() as room:
        model = Path(room) / "model.onnx"
        export_segmenter(net, model, plan.patch)
        return write_segmenter(
            folder, manifest, model, card=model_card(manifest), licence=licence_text(manifest)
        )


def _manifest(plan: SegmentationPlan, net: SegmentNet | Committee) -> SegmentationManifest:
    """What is known before anything is judged."""
    members = len(net.members) if isinstance(net, Committee) else 1
    return SegmentationManifest(
        name=plan.name,
        version=plan.version,
        title=plan.title or plan.name,
        reading=plan.reading,
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
            "network": plain(net.config.to_dict()),
            "steps": [plan.steps] * members,
        },
    )
