"""Loss and start of a network: shares as targets, rare classes, blending."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diaphane.learn.network import Loss, mixes, network_config, new_network
from diaphane.learn.plans import Plan

COMMON = {
    "label_columns": ["label"],
    "input": {"kind": "image", "size": [16, 16], "max_slices": 1, "mask": "none"},
    "recipe": {"version": 1, "name": "none", "steps": []},
    "network": {"widths": [8, 12], "strides": [2, 2], "depths": [1, 2], "stem": 4, "norm": "batch"},
}


def plan_of(classes: int, **changes: object) -> Plan:
    names = [str(k) for k in range(classes)]
    two = {"task": "binary", "positive": {"label": "1"}} if classes == 2 else {"task": "multiclass"}
    return Plan.from_dict({**COMMON, **two, "classes": {"label": names}, **changes})


@pytest.mark.parametrize("imbalance", ["none", "weights"])
def test_a_class_and_its_whole_share_cost_the_same(imbalance):
    target = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    loss = Loss(plan_of(3, imbalance=imbalance, smoothing=0.0), target)
    logit = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(logit, loss.aims(target)), loss(logit, target))


def test_the_scores_start_from_the_frequencies():
    target = torch.tensor([0] * 90 + [1] * 10)[:, None].float()
    for imbalance, expected in (("none", 0.1), ("weights", 0.25)):
        plan = plan_of(2, imbalance=imbalance)
        loss = Loss(plan, target)
        net = new_network(plan, 0, np.zeros((100, 0), np.float32), target, loss)
        assert float(torch.sigmoid(net.bias.detach())) == pytest.approx(expected, abs=1e-4)
        # The start is where the weighted loss of a constant score is least.
        bias = loss.prior.clone().requires_grad_()
        plain = Loss(plan_of(2, imbalance=imbalance, smoothing=0.0), target)
        plain(bias.expand(100, 1), target).backward()
        assert float(bias.grad.abs()) < 1e-4


def test_only_whole_images_are_blended():
    assert mixes(plan_of(2, mixup=0.2))
    assert not mixes(plan_of(2))
    assert not mixes(plan_of(2, mixup=0.2, input={**COMMON["input"], "mask": "foreground"}))


def test_the_plan_reaches_the_network():
    config = network_config(plan_of(2))
    assert (config.depths, config.stem, config.norm) == ((1, 2), 4, "batch")
