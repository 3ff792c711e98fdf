"""How much of a score the image gets where image and concepts learned apart.

The share is fitted on what networks say of cases that they never saw: one number for the run. An
image part that learned its training cases by heart then counts for little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.evaluate import fit_calibration
from diaphane.learn.judging import HeldOut, known_labels
from diaphane.learn.loop import Pupil, Task
from diaphane.learn.network import FIRST_SHARE, fuse
from diaphane.learn.splits import Member
from diaphane.models import EvidenceNet

_SHARES = np.round(np.arange(0.05, 0.951, 0.05), 2)
_PULL = 20.0
"""Of the first share: a share that is .2 from it must gain so many times .04 in log likelihood."""
Floats = NDArray[np.float64]


def share_out(
    task: Task, nets: Sequence[EvidenceNet], members: Sequence[Member], held: HeldOut
) -> tuple[float, HeldOut]:
    """Fit the image's share, and give it to every network.

    Parameters
    ----------
    nets:
        As trained, with ``FIRST_SHARE`` of the image; changed in place.
    held:
        What they say of cases that they did not see.

    Returns
    -------
    float
        The share, .05 to .95.
    HeldOut
        As the networks say it now.
    """
    biases = [
        _biases(task, n, m, net) for n, (m, net) in enumerate(zip(members, nets, strict=True))
    ]
    place = {int(case): row for row, case in enumerate(held.cases)}
    total, count = np.zeros_like(held.logit), np.zeros((len(held.cases), 1))
    for member, (of_image, _) in zip(members, biases, strict=True):
        rows = np.array([place[int(case)] for case in member.held])
        total[rows] += of_image
        count[rows] += 1
    image = held.image / FIRST_SHARE + total / count
    concepts = (held.logit - FIRST_SHARE * image) / (1.0 - FIRST_SHARE)
    share = fit_share(image, concepts, task, held.cases)
    for net, (of_image, of_concepts) in zip(nets, biases, strict=True):
        undo_and_fuse(net, of_image, of_concepts, share)
    return share, replace(
        held,
        logit=share * image + (1.0 - share) * concepts,
        image=held.image * (share / FIRST_SHARE),
    )


def fit_share(image: Floats, concepts: Floats, task: Task, cases: NDArray[np.int64]) -> float:
    """The share with the best calibrated log likelihood, pulled towards the first one.

    Parameters
    ----------
    image, concepts:
        Logits ``(n, K)`` of either part alone.
    """
    labels, keep = known_labels(task.plan, task.target.numpy(), cases)
    kind = task.plan.task
    rows = np.arange(len(labels))

    def gain(share: float) -> float:
        logit = (share * image + (1.0 - share) * concepts)[keep]
        probability = fit_calibration(logit, labels, task=kind).probabilities(logit)
        if kind == "multilabel":
            said = np.where(labels != 0, probability, 1.0 - probability)
        else:
            said = probability[rows, labels]
        return float(np.log(np.clip(said, 1e-9, 1.0)).sum()) - _PULL * (share - FIRST_SHARE) ** 2

    return float(max(_SHARES, key=gain))


def undo_and_fuse(net: EvidenceNet, of_image: Floats, of_concepts: Floats, share: float) -> None:
    """Take the first share back and fuse the parts anew."""
    shapes = net.shapes
    assert shapes is not None
    with torch.no_grad():
        net.weight.div_(FIRST_SHARE)
        shapes.rise.div_(1.0 - FIRST_SHARE)
        shapes.offset.div_(1.0 - FIRST_SHARE)
        net.bias.copy_(torch.from_numpy(of_image))
    fuse(net, torch.from_numpy(of_concepts), share)


def _biases(task: Task, number: int, member: Member, net: EvidenceNet) -> tuple[Floats, Floats]:
    """Biases ``(K,)`` of the image part and of the concepts, from their fused one.

    That of the concepts follows from the training cases alone, so it is found again by the same
    fit.
    """
    pupil = Pupil(replace(task, state=None, history=None), number, member)
    assert pupil.concept_bias is not None
    of_concepts = pupil.concept_bias.detach().cpu().numpy().astype(np.float64)
    fused = net.bias.detach().cpu().numpy().astype(np.float64)
    return (fused - (1.0 - FIRST_SHARE) * of_concepts) / FIRST_SHARE, of_concepts
