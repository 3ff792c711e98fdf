"""Datasets that nobody chose: any shape must give a plan that works, or a clear refusal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from diaphane.acquire.dataset import Dataset, Entry, Parts, classes_of
from diaphane.bundle import prepare_case
from diaphane.core.errors import DiaphaneError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.learn.augment import Sample
from diaphane.learn.cases import Batch
from diaphane.learn.fingerprint import fingerprint
from diaphane.learn.network import network_config
from diaphane.learn.planning import plan_of
from diaphane.learn.segmenting.network import network_config as segmenter_config
from diaphane.models import EvidenceNet
from diaphane.models.segment import SegmentNet
from diaphane.preprocess import Recipe


@dataclass(frozen=True)
class Kind:
    """A dataset to generate."""

    cases: int
    classes: int
    height: int
    width: int
    slices: int
    channels: int
    values: str
    marks: str
    spacing: tuple[float, float, float] | None
    vary: bool
    rare: bool
    splits: bool
    seed: int


KINDS = st.builds(
    Kind,
    cases=st.integers(1, 14),
    classes=st.integers(1, 6),
    height=st.sampled_from([16, 17, 28, 40, 64, 130]),
    width=st.sampled_from([16, 23, 28, 48, 200]),
    slices=st.sampled_from([1, 1, 2, 5, 20]),
    channels=st.integers(1, 4),
    values=st.sampled_from(["uint8", "binary", "float", "hu", "flat"]),
    marks=st.sampled_from(["none", "none", "outline", "mask", "some masks"]),
    spacing=st.sampled_from([None, (1.0, 1.0, 1.0), (5.0, 0.5, 0.5), (0.8, 2.0, 2.0)]),
    vary=st.booleans(),
    rare=st.booleans(),
    splits=st.booleans(),
    seed=st.integers(0, 99),
)


def generate(kind: Kind, *, segmentation: bool = False, labels: int = 1) -> Dataset:
    """Entries that read arrays made from the seed and their number."""
    entries = []
    for number in range(kind.cases):
        random = np.random.default_rng([kind.seed, number])
        label = 0 if kind.rare and number % 12 else number % kind.classes
        split = ("train", "train", "train", "val", "test")[number % 5] if kind.splits else None

        def read(random=random, label=label, number=number):
            state = np.random.default_rng([kind.seed, number])
            factor = state.uniform(0.7, 1.4) if kind.vary else 1.0
            z = max(1, round(kind.slices * factor)) if kind.slices > 1 else 1
            shape = (z, max(8, round(kind.height * factor)), max(8, round(kind.width * factor)))
            return parts(kind, shape, state, label, segmentation=segmentation, labels=labels)

        name = f"case {number}"
        masked = segmentation or kind.marks == "mask"
        entries.append(
            Entry(
                name, f"C-{number:016x}", f"C-{number:016x}", read,
                {} if segmentation else {"label": f"class {label}"}, split, has_mask=masked,
            )
        )  # fmt: skip
    columns = () if segmentation else ("label",)
    return Dataset(
        "manifest", tuple(entries), columns, classes_of(entries, columns),
        has_masks=segmentation or kind.marks in ("mask", "some masks"),
        read_mask_labels=lambda: {value + 1: f"part {value + 1}" for value in range(labels)},
    )  # fmt: skip


def parts(kind, shape, random, label, *, segmentation, labels):
    full = (kind.channels, *shape)
    values = {
        "uint8": lambda: random.integers(0, 256, full).astype(np.uint8),
        "binary": lambda: random.integers(0, 2, full).astype(np.uint8),
        "float": lambda: random.normal(3.0, 100.0, full).astype(np.float32),
        "hu": lambda: random.integers(-1000, 1500, full).astype(np.int16),
        "flat": lambda: np.full(full, 7, dtype=np.uint8),
    }[kind.values]()
    z, y, x = shape
    inside = np.zeros(shape, dtype=np.uint8)
    inside[:, y // 4 : y // 2 + label, x // 4 : x // 2] = 1
    if kind.marks == "outline":
        values = values * (inside > 0)
    unit = "HU" if kind.values == "hu" else "1"
    geometry = Geometry(shape) if kind.spacing is None else Geometry(shape, kind.spacing)
    volume = Volume(values if kind.channels > 1 else values[0], geometry, "OT", unit)
    mask = None
    if segmentation:
        drawn = np.zeros(shape, dtype=np.uint8)
        how = int(random.integers(0, 4))
        for value in range(labels):
            if how == 1:  # one voxel
                drawn[z // 2, y // 2, min(x - 1, x // 2 + value)] = value + 1
            elif how == 2:  # a thin line
                drawn[z // 2, min(y - 1, y // 2 + value), :] = value + 1
            elif how == 3:
                drawn[:, y // 4 + 2 * value : y // 2 + value + 1, x // 4 : x // 2] = value + 1
        mask = Volume(drawn, geometry, "SEG")
    elif kind.marks == "mask" or (kind.marks == "some masks" and random.random() < 0.5):
        mask = Volume(inside, geometry, "SEG")
    return Parts({"image": volume}, mask)


QUICKLY = settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate],
)  # fmt: skip


@given(KINDS)
@QUICKLY
def test_every_plan_works_or_is_refused_clearly(kind):
    dataset = generate(kind)
    try:
        facts, _ = fingerprint(dataset)
        plan, _ = plan_of(facts)
    except DiaphaneError:
        return
    samples = []
    recipe = Recipe.from_dict(plan.recipe)
    for entry in dataset.entries[:2]:
        try:
            prepared = prepare_case(entry.load(), plan.input, recipe)
        except DiaphaneError:
            if plan.input.mask == "none":  # a whole image is always taken
                raise
            continue
        samples.append(Sample(prepared.image, prepared.mask, prepared.concepts))
    if not samples:
        return
    fed = Batch.of(samples)
    for name in plan.families:
        one = plan.family(name)
        if one.network.norm == "batch" and len(samples) < 2:
            continue
        net = EvidenceNet(network_config(one)).train()
        out = net(fed.image, fed.mask, fed.length, fed.concepts)
        assert out.logit.shape == (len(samples), len(plan.output_names))
        out.logit.square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@given(KINDS, st.integers(1, 4))
@settings(QUICKLY, max_examples=15)
def test_every_segmentation_plan_works_or_is_refused_clearly(kind, labels):
    try:
        facts, _ = fingerprint(generate(kind, segmentation=True, labels=labels))
        plan, _ = plan_of(facts)
    except DiaphaneError:
        return
    found = facts.segmentation
    assert found is not None
    assert found.empty <= facts.cases
    assert all(0.0 <= share <= 1.0 for share in found.share.values())
    assert all(found.thickness[label] >= 1.0 or not found.cases[label] for label in found.labels)
    net = SegmentNet(segmenter_config(plan)).train()
    image = torch.zeros(1, plan.channels, *plan.patch)
    if np.prod(plan.patch) <= 2**17:
        assert net(image).shape == (1, 1 + labels, *plan.patch)


@given(KINDS, st.randoms(use_true_random=False))
@settings(QUICKLY, max_examples=8)
def test_a_plan_is_of_the_dataset_not_of_its_order_or_threads(kind, random):
    kind = replace(kind, cases=12, classes=2, rare=False)
    dataset = generate(kind)
    shuffled = list(dataset.entries)
    random.shuffle(shuffled)
    first, _ = fingerprint(dataset, threads=1)
    second, _ = fingerprint(replace(dataset, entries=tuple(shuffled)), threads=3)
    assert first == second
    assert plan_of(first) == plan_of(second)


def test_large_images_fit_and_keep_their_shape():
    kind = Kind(12, 2, 1000, 1500, 1, 3, "uint8", "none", None, False, False, False, 0)
    facts, _ = fingerprint(generate(kind), near=False)
    plan, _ = plan_of(facts)
    (resize,) = (step["resize"] for step in plan.recipe["steps"] if "resize" in step)
    height, width = resize["size"]
    assert width <= 224
    assert height / width == pytest.approx(2 / 3, rel=0.02)
    assert plan.input.size[0] >= height
    hurried, _ = plan_of(facts, time_budget=20.0)
    assert hurried.input.size[1] < width
    assert hurried.steps is None


def test_rare_classes_count_more():
    kind = Kind(101, 2, 16, 16, 1, 1, "uint8", "none", None, False, False, False, 0)
    dataset = generate(kind)
    entries = tuple(
        replace(e, labels={"label": "a" if i < 98 else "b"}) for i, e in enumerate(dataset.entries)
    )
    dataset = replace(dataset, entries=entries, classes={"label": ("a", "b")})
    plan, _ = plan_of(fingerprint(dataset)[0])
    assert plan.imbalance == "weights"
    assert plan.output_names == ("b",)


def test_a_volume_of_equal_sides_is_planned_as_one():
    kind = Kind(40, 2, 28, 28, 28, 1, "uint8", "none", None, False, False, False, 0)
    plan, _ = plan_of(fingerprint(generate(kind))[0])
    assert (plan.input.kind, plan.input.max_slices, plan.input.size) == ("sequence", 28, (28, 28))
    assert list(plan.families) == ["cnn-rnn", "cnn-3d"]
    assert plan.family("cnn-3d").network.encoder == "3d"
    thick, _ = plan_of(fingerprint(generate(replace(kind, spacing=(5.0, 0.5, 0.5))))[0])
    assert set(thick.family("cnn-3d").network.depth_strides) == {1}
