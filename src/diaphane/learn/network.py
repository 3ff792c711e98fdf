"""From a plan to a network ready to learn: parts, prior, concepts first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from diaphane.core.errors import PlanError
from diaphane.learn.cases import Batch
from diaphane.learn.optimising import adamw
from diaphane.learn.plans import ConceptPlan, Plan
from diaphane.learn.pretrained import start_from
from diaphane.models import EvidenceConfig, EvidenceNet


def network_config(plan: Plan) -> EvidenceConfig:
    """The network of a plan.

    Raises
    ------
    PlanError
        Its sizes do not fit each other or the input; the message names the value.
    """
    try:
        return EvidenceConfig(
            in_channels=plan.input.channels,
            n_outputs=len(plan.output_names),
            n_concepts=len(plan.input.concept_names),
            image_size=plan.input.size,
            **plan.network.model_dump(),
        )
    except PlanError as error:
        raise PlanError(f"plan key 'network': {error.problem}") from error


class Loss:
    """The loss of a task, with class weights.

    Targets are ``(n, k)`` float32 in 0..1, NaN where not known, for binary and multi-label tasks,
    and ``(n,)`` int64 or shares ``(n, k)`` float32 for several classes.

    Parameters
    ----------
    target:
        Of the training cases; weights come from its frequencies, and the scores start from them.
    """

    def __init__(self, plan: Plan, target: torch.Tensor) -> None:
        self.task = plan.task
        self.smoothing = plan.smoothing
        outputs = len(plan.output_names)
        if self.task == "multiclass":
            count = torch.bincount(target, minlength=outputs).float().clamp_min(1.0)
            # Square roots: in full, weights would give few noisy cases most of the gradient.
            self.weight = torch.sqrt(count.sum() / (count * outputs))
            if plan.imbalance == "none":
                self.weight = torch.ones_like(count)
            self.prior = torch.log_softmax(torch.log(count * self.weight), dim=0)
        else:
            known = torch.logical_not(torch.isnan(target))
            share = (target.nan_to_num() * known).sum(0) / known.sum(0).clamp_min(1)
            share = share.clamp(1e-3, 1 - 1e-3)
            self.weight = torch.sqrt((1 - share) / share)
            if plan.imbalance == "none":
                self.weight = torch.ones_like(share)
            self.prior = torch.log(share * self.weight / (1 - share))

    def __call__(
        self, logit: torch.Tensor, target: torch.Tensor, *, plain: bool = False
    ) -> torch.Tensor:
        """Mean loss of logits ``(n, k)``; ``plain`` leaves weights and smoothing out."""
        smoothing = 0.0 if plain else self.smoothing
        weight = None if plain else self.weight.to(logit)
        if self.task == "multiclass" and target.is_floating_point():
            count = torch.ones_like(self.weight).to(logit) if weight is None else weight
            aim = target * (1 - smoothing) + smoothing / target.shape[1]
            total = (aim * count * functional.log_softmax(logit, dim=1)).sum()
            return -total / (target * count).sum()
        if self.task == "multiclass":
            return functional.cross_entropy(logit, target, weight, label_smoothing=smoothing)
        known = torch.logical_not(torch.isnan(target))
        aim = target.nan_to_num() * (1 - 2 * smoothing) + smoothing
        each = functional.binary_cross_entropy_with_logits(
            logit, aim, pos_weight=weight, reduction="none"
        )
        return (each * known).sum() / known.sum().clamp_min(1)

    def aims(self, target: torch.Tensor) -> torch.Tensor:
        """Targets as shares ``(n, k)`` float32, which can be blended."""
        if self.task == "multiclass" and not target.is_floating_point():
            return functional.one_hot(target, len(self.weight)).float()
        return target


def mixes(plan: Plan) -> bool:
    """Whether batches are blended: only whole images of one shape, without concepts or masks."""
    whole = plan.input.mask == "none" and not plan.input.concept_names
    return plan.mixup > 0 and whole and plan.input.max_slices == 1


def new_network(
    plan: Plan,
    seed: int,
    concepts: NDArray[np.float32],
    target: torch.Tensor,
    loss: Loss,
    *,
    encoder: Mapping[str, torch.Tensor] | None = None,
) -> EvidenceNet:
    """A network at the start of training; weights are a function of the seed.

    Parameters
    ----------
    concepts, target:
        Of the training cases ``(n, J)`` and as in :class:`Loss`.
    encoder:
        Weights that the encoder starts from.
    """
    torch.manual_seed(seed)
    net = EvidenceNet(network_config(plan))
    if encoder is not None:
        start_from(net, encoder)
    with torch.no_grad():
        net.bias.copy_(loss.prior)
        if net.encoder is not None:
            net.weight.mul_(plan.optimiser.image_gain)
    if net.shapes is not None:
        given = torch.from_numpy(concepts)
        net.fit_concepts(given)
        if plan.concept_fit.first:
            fit_shapes(net, given, target, loss, plan.concept_fit)
    return net


def fit_shapes(
    net: EvidenceNet,
    concepts: torch.Tensor,
    target: torch.Tensor,
    loss: Loss,
    how: ConceptPlan,
) -> None:
    """Fit bias and shape functions alone to convergence, then centre them.

    A penalised additive model (Hastie and Tibshirani 1986) by L-BFGS; deterministic.
    """
    shapes = net.shapes
    assert shapes is not None
    optimiser = torch.optim.LBFGS(
        [net.bias, shapes.rise], max_iter=200, line_search_fn="strong_wolfe"
    )
    count = len(concepts)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(net.bias + shapes(concepts).sum(1), target)
        slope = shapes.rise / shapes.knots.diff(dim=1).unsqueeze(-1)
        bend = slope.diff(dim=1).square().mean(1).sum() if slope.shape[1] > 1 else 0.0
        value = value + (how.ridge * slope.square().mean(1).sum() + how.roughness * bend) / count
        value.backward()
        return value

    optimiser.step(closure)
    net.centre_concepts(concepts)


FIRST_SHARE = 0.4
"""Share of the image while none is known: what served best on lung nodules."""


def start_apart(net: EvidenceNet, loss: Loss) -> torch.Tensor:
    """Give the image part a bias of its own; returns the concepts' bias ``(K,)``."""
    kept = net.bias.detach().clone()
    with torch.no_grad():
        net.bias.copy_(loss.prior)
    return kept


def fuse(net: EvidenceNet, concept_bias: torch.Tensor, image_share: float) -> None:
    """Make the score the weighted mean of an image part and a concept part that learned apart.

    Contributions of places are linear in ``weight`` and those of concepts in ``rise`` and
    ``offset``, so scaling these scales each part, and the parts still add up.
    """
    shapes = net.shapes
    assert shapes is not None
    with torch.no_grad():
        net.weight.mul_(image_share)
        shapes.rise.mul_(1.0 - image_share)
        shapes.offset.mul_(1.0 - image_share)
        net.bias.copy_(image_share * net.bias + (1.0 - image_share) * concept_bias.to(net.bias))


def learnable(net: EvidenceNet, plan: Plan) -> list[torch.nn.Parameter]:
    """Parameters that the loop changes: all but shape functions that are frozen."""
    frozen: set[int] = set()
    if net.shapes is not None and plan.concept_fit.first and plan.concept_fit.freeze:
        frozen = {id(parameter) for parameter in net.shapes.parameters()}
    return [parameter for parameter in net.parameters() if id(parameter) not in frozen]


def optimiser_of(
    net: EvidenceNet, parameters: Sequence[torch.nn.Parameter], plan: Plan
) -> torch.optim.Optimizer:
    """AdamW over some of a network's parameters; weights decay, biases and scales do not.

    ``share`` of a group is its share of the learning rate: that of an encoder that learned before
    is the plan's ``encoder.rate``.
    """
    behind: frozenset[int] = frozenset()
    if plan.encoder is not None and net.encoder is not None:
        behind = frozenset(id(p) for p in net.encoder.parameters())
    parts = [(1.0, [p for p in parameters if id(p) not in behind])]
    if plan.encoder is not None:
        parts.append((plan.encoder.rate, [p for p in parameters if id(p) in behind]))
    groups = [
        {"params": chosen, "weight_decay": decay, "share": share}
        for share, own in parts
        for chosen, decay in (
            ([p for p in own if p.ndim > 1], plan.optimiser.weight_decay),
            ([p for p in own if p.ndim <= 1], 0.0),
        )
    ]
    return adamw(groups, plan.optimiser.learning_rate, parameters[0].device)


def renew_norms(net: EvidenceNet, batches: Iterable[Batch]) -> None:
    """Take the statistics of batch normalisation anew, under the weights as they are.

    Running means lag behind weights that move fast, so after few steps a network that fits its
    batches can be wrong on single cases (as for averaged weights, Izmailov et al. 2018).
    """
    layers = [
        m for m in net.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d))
    ]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    net.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    with torch.no_grad():
        for fed in batches:
            net(fed.image, fed.mask, fed.length, fed.concepts)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    net.eval()
