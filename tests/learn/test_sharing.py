"""The image's share of a score: fitted on unseen cases, and the same in networks and figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diaphane.acquire import open_dataset
from diaphane.learn.cases import read_cases, targets
from diaphane.learn.dividing import divide
from diaphane.learn.judging import held_out
from diaphane.learn.loop import Task, fit_member
from diaphane.learn.network import FIRST_SHARE
from diaphane.learn.sharing import fit_share, share_out
from diaphane.preprocess import Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(balls, ball_run):
    plan = ball_run[0].plan.with_changes({"epochs": 2})
    store = read_cases(
        open_dataset(balls), plan.input, Recipe.from_dict(plan.recipe), plan.augmentation,
        salt="", seed=0,
    )  # fmt: skip
    return Task(plan, store, targets(plan, store), CPU)


def test_masks_make_image_and_concepts_learn_apart(ball_run):
    run, said = ball_run
    assert run.plan.apart
    assert run.plan.concept_fit.image_share is None
    assert "of the score" in run.plan.reasons["concept_fit"]
    assert any("learned apart" in line for line in said)


def test_what_networks_say_afterwards_is_what_figures_are_made_of(task):
    members = divide(task.plan, task.store, task.target)[1]
    nets = [fit_member(task, n, m)[0] for n, m in enumerate(members)]
    before = held_out(nets, members, task.store, task.plan, CPU)
    share, after = share_out(task, nets, members, before)
    assert 0.05 <= share <= 0.95
    again = held_out(nets, members, task.store, task.plan, CPU)
    np.testing.assert_allclose(again.logit, after.logit, atol=1e-4)
    np.testing.assert_allclose(again.image, after.image, atol=1e-4)
    if share != FIRST_SHARE:
        assert np.abs(after.logit - before.logit).max() > 1e-3


@pytest.mark.parametrize(
    ("image", "low", "high"), [(0.0, 0.0, 0.15), (0.5, 0.3, 0.7), (1.0, 0.85, 1.0)]
)
def test_the_better_part_gets_more(task, image, low, high):
    """Two looks at 600 cases: noise beside knowledge, or two of equal worth."""
    random = np.random.default_rng(3)
    truth = (np.arange(600) % 2).astype(np.float32)
    signs = 2.0 * truth - 1.0
    many = replace(task, target=torch.from_numpy(truth[:, None]))
    noise = random.normal(0, 1.5, (600, 2))
    looks = np.stack([2 * image * signs, 2 * (1 - image) * signs], axis=1) + noise
    share = fit_share(looks[:, :1], looks[:, 1:], many, np.arange(600))
    assert low <= share <= high
