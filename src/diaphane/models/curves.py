"""Shape functions as data, for the report to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from diaphane.core.errors import PlanError
from diaphane.models.ensemble import Ensemble
from diaphane.models.evidence import EvidenceNet


@torch.no_grad()
def shape_curves(
    model: EvidenceNet | Ensemble, names: Sequence[str], points: int = 41
) -> list[dict[str, Any]]:
    """One curve per concept: what each value would contribute to the score.

    Parameters
    ----------
    model:
        A network, or an ensemble (then the mean of its members' curves).
    names:
        The J names of its concepts, in order.
    points:
        Grid points from the lowest to the highest knot of any member, at least 2. Beyond these ends
        the curves are flat.

    Returns
    -------
    list of dict
        Plain JSON values: ``concept``, ``value`` (``points`` numbers in the concept's own unit) and
        ``contribution`` (K lists of ``points`` numbers). Empty without concepts.

    Raises
    ------
    PlanError
        The number of names is not J.
    """
    nets = [model] if isinstance(model, EvidenceNet) else list(model.members)
    shapes = [net.shapes for net in nets if isinstance(net, EvidenceNet) and net.shapes is not None]
    if not shapes:
        return []
    if len(names) != shapes[0].mean.shape[0]:
        raise PlanError(f"{shapes[0].mean.shape[0]} concept names are expected, not {len(names)}.")
    ends = [shape.mean.unsqueeze(1) + shape.std.unsqueeze(1) * shape.knots for shape in shapes]
    low = torch.stack([knots[:, 0] for knots in ends]).amin(0)
    high = torch.stack([knots[:, -1] for knots in ends]).amax(0)
    share = torch.linspace(0.0, 1.0, points, device=low.device).unsqueeze(1)
    values = low + (high - low) * share
    contributions = torch.stack([shape(values) for shape in shapes]).mean(0)
    return [
        {
            "concept": name,
            "value": values[:, j].tolist(),
            "contribution": contributions[:, j].T.tolist(),
        }
        for j, name in enumerate(names)
    ]
