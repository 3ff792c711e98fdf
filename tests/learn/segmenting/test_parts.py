"""Plans for masks of every kind, patches, loss, components and predicted Dice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.bundle import LabelSpec, keep_components
from diaphane.core.geometry import Geometry
from diaphane.learn.facts import SegmentationFacts
from diaphane.learn.segmenting import SegmentationPlan, decide_segmentation
from diaphane.learn.segmenting.cases import Kept, MaskStore
from diaphane.learn.segmenting.fitting import smaller
from diaphane.learn.segmenting.losses import segmentation_loss
from diaphane.learn.segmenting.network import network_config
from diaphane.learn.segmenting.patches import Sampler
from diaphane.learn.segmenting.quality import Parts, Rule, choose_rule, fit_quality
from diaphane.models.segment import SegmentNet
from diaphane.preprocess import Recipe


def facts_of(**changes: Any) -> Any:
    """What ``decide_segmentation`` reads of a fingerprint."""
    values = {"mean": 100.0, "std": 20.0, "p0_5": 50.0, "p50": 100.0, "p99_5": 160.0}
    fields: dict[str, Any] = {
        "labels": {"a": 1}, "cases": {"a": 20}, "voxels": {"a": 500.0}, "share": {"a": 0.02},
        "thickness": {"a": 8.0}, "intensity": {"inside": [values], "all": [values]},
        "spacings": (None, None, None),
        "shapes": tuple({"low": n, "median": n, "high": n} for n in (40.0, 64.0, 64.0)),
        "anisotropy": 1.0, "empty": 0, "channels": 1, "eight_bit": False, "unit": "1",
    }  # fmt: skip
    outer = {k: changes.pop(k) for k in ("groups", "coloured", "splits") if k in changes}
    seg = SegmentationFacts(**{**fields, **changes})
    return SimpleNamespace(
        **{"groups": 20, "coloured": False, "splits": {}, **outer}, segmentation=seg
    )


@settings(deadline=None, max_examples=15)
@given(
    depth=st.integers(1, 200),
    side=st.tuples(st.integers(16, 2000), st.integers(16, 2000)),
    step=st.floats(0.3, 10.0),
    thin=st.floats(1.0, 60.0),
    labels=st.integers(1, 20),
    channels=st.integers(1, 4),
    known=st.booleans(),
    unit=st.sampled_from(["1", "HU"]),
    groups=st.integers(1, 10_000),
)
def test_every_data_set_gets_a_plan_whose_network_can_be_built(
    depth: int, side: tuple[int, int], step: float, thin: float, labels: int, channels: int,
    known: bool, unit: str, groups: int,
) -> None:  # fmt: skip
    names = [f"label {i}" for i in range(labels)]
    spread = [{"low": v, "median": v, "high": v} for v in (step, 0.8, 0.8)]
    found = facts_of(
        labels={n: i + 1 for i, n in enumerate(names)}, cases=dict.fromkeys(names, 3),
        voxels=dict.fromkeys(names, 9.0), share=dict.fromkeys(names, 1e-3),
        thickness=dict.fromkeys(names, thin), channels=channels, unit=unit, groups=groups,
        spacings=tuple(spread) if known else (None, None, None), anisotropy=step / 0.8,
        shapes=tuple({"low": float(n), "median": float(n), "high": float(n)} for n in (depth, *side)),
    )  # fmt: skip
    values, _ = decide_segmentation(found, name="any")
    plan = SegmentationPlan.from_dict(values)
    Recipe.from_dict(plan.recipe)
    config = network_config(plan)
    with torch.device("meta"):
        logits = SegmentNet(config).levels(torch.empty(1, channels, *plan.patch))
    assert logits[0].shape == (1, 1 + labels, *plan.patch)
    assert np.prod(plan.patch) <= 130_000
    # Thin labels keep their width.
    for stage in plan.recipe["steps"]:
        if "resize" in stage and thin < 6:
            assert stage["resize"]["longest"] >= 0.99 * max(side)
    less: SegmentationPlan | None = plan
    for _ in range(60):
        less = smaller(plan, config.total_stride)
        if less is None:
            break
        network_config(less)
        plan = less
    assert less is None


def kept_of(seed: int, shape: tuple[int, int, int] = (9, 20, 24)) -> Kept:
    random = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[2:5, 4:9, 6:12] = 1
    mask[4, 15, 20] = 2
    image = random.normal(size=(1, *shape)).astype(np.float32) + 3 * mask
    places = {k: np.argwhere(mask == k).astype(np.int32) for k in (1, 2)}
    grid = Geometry(shape, spacing=(1.0, 1.0, 1.0))
    return Kept(image, mask, places, (1.0, 1.0, 1.0), grid)


def plan_with(**changes: Any) -> SegmentationPlan:
    values, _ = decide_segmentation(facts_of(labels={"a": 1, "b": 2}), name="toy")
    return SegmentationPlan.from_dict({**values, **changes})


PLAIN = {
    "mirror": [], "share": 0.0, "brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "noise": 0.0,
    "blur": 0.0,
}  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    number=st.integers(0, 10_000),
    seed=st.integers(0, 99),
    size=st.sampled_from([(4, 8, 8), (16, 16, 32)]),
)
def test_a_patch_is_a_function_of_seed_and_number(
    number: int, seed: int, size: tuple[int, int, int]
) -> None:
    store = MaskStore(kept=[kept_of(i) for i in range(3)])
    plan = plan_with(foreground=0.5)
    one = Sampler(plan, store, np.arange(3), seed).patch(number, size)
    other = Sampler(plan, store, np.arange(3), seed).patch(number, size)
    assert one.case == other.case
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.mask, other.mask)
    assert one.image.shape == (1, *size)
    assert set(one.mask.unique().tolist()) <= {0, 1, 2}
    assert bool(torch.isfinite(one.image).all())


def test_plain_patches_are_cut_out_as_they_are() -> None:
    store = MaskStore(kept=[kept_of(0)])
    sampler = Sampler(plan_with(augmentation=PLAIN, foreground=1.0), store, np.arange(1), 5)
    whole_image, whole_mask = store.kept[0].image, store.kept[0].mask
    for number in range(8):
        patch = sampler.patch(number, (4, 8, 8))
        found = [
            (z, y, x)
            for z in range(6) for y in range(13) for x in range(17)
            if np.array_equal(whole_image[0, z:z + 4, y:y + 8, x:x + 8], patch.image[0].numpy())
        ]  # fmt: skip
        assert len(found) == 1
        z, y, x = found[0]
        wanted = whole_mask[z : z + 4, y : y + 8, x : x + 8]
        assert np.array_equal(wanted, patch.mask.numpy())
        assert bool((patch.mask == 1 + number % 2).any())  # each label in turn


def test_the_loss_falls_to_nothing_for_the_truth_and_holds_without_labels() -> None:
    mask = torch.zeros(2, 4, 8, 8, dtype=torch.long)
    mask[0, 0:2, 2:6, 2:6] = 1
    sure = 20.0 * torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).float()
    coarse = torch.nn.functional.avg_pool3d(sure, 2)
    assert float(segmentation_loss([sure], mask, 0.5)) < 1e-3
    assert float(segmentation_loss([sure, coarse], mask, 0.5)) < 1e-3
    wrong = float(segmentation_loss([sure.flip(1)], mask, 0.5))
    assert wrong > 5
    empty = torch.zeros_like(mask)
    assert np.isfinite(float(segmentation_loss([torch.randn_like(sure)], empty, 0.5)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["all", "largest"]), st.integers(0, 30))
def test_dice_of_parts_is_dice_of_what_the_rule_keeps(seed: int, keep: Any, least: int) -> None:
    random = np.random.default_rng(seed)
    predicted = random.random((5, 9, 9)) < 0.12
    truth = random.random((5, 9, 9)) < 0.1
    spec = LabelSpec(value=1, name="a", keep=keep, least=least)
    kept = keep_components(predicted.astype(np.uint8), [spec]) > 0
    total = int(kept.sum()) + int(truth.sum())
    wanted = 2 * int((kept & truth).sum()) / total if total else 1.0
    assert Parts.of(predicted, truth).dice(Rule(keep, least)) == pytest.approx(wanted)


def test_a_rule_is_learnt_only_where_it_helps() -> None:
    blob = np.zeros((1, 20, 20), bool)
    blob[0, 4:14, 4:14] = True
    speck = blob.copy()
    speck[0, 17:19, 17:19] = True
    assert choose_rule([Parts.of(blob, blob)] * 9) == Rule()
    found = choose_rule([Parts.of(speck, blob) for _ in range(6)] + [Parts.of(blob, blob)] * 3)
    assert found.keep == "largest" or found.least > 4
    assert choose_rule([Parts.of(speck, speck)] * 9) == Rule()


def test_predicted_dice_follows_its_features_and_is_judged_across_folds() -> None:
    random = np.random.default_rng(0)
    expected = random.uniform(0.4, 0.95, 60)
    dice = (0.8 * expected + 0.1 + random.normal(0, 0.02, 60)).clip(0, 1)
    rows = [{"expected_dice": e, "entropy": 1 - e, "margin": e} for e in expected]
    fit = fit_quality(rows, dice.tolist(), [i % 3 for i in range(60)])
    assert fit.about["pearson"] > 0.9
    assert fit.model.n == 60
    few = fit_quality(rows[:4], dice[:4].tolist(), [0, 1, 2, 0])
    assert few.model.weight == (1.0,)
    assert few.model.correlation is None
    failed = fit_quality(rows[:20], [0.0] * 20, [i % 3 for i in range(20)])
    assert failed.crossed.tolist() == [0.0] * 20
    assert failed.model.offset == 0.0
