"""Several networks, or several views of a case, read as one by averaging what adds up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import nn

from diaphane.core.errors import PlanError
from diaphane.models.evidence import EvidenceNet, EvidenceOutput

View = Literal["as_is", "flip_x", "flip_y", "turn"]
"""How an image is shown: as it is, mirrored left to right, top to bottom, or both (half a turn)."""

_FLIPPED: dict[View, tuple[int, ...]] = {
    "as_is": (),
    "flip_x": (-1,),
    "flip_y": (-2,),
    "turn": (-2, -1),
}


class Ensemble(nn.Module):
    """Mean of the logits, maps, attention, bias and concept contributions of several members.

    The score of the mean is the mean of the scores, so contributions still add up to the logit;
    averaging probabilities would break that. With several ``views`` each member sees each view,
    and its maps are turned back. ``features`` keep the members apart, ``(N, M, D)``, averaged over
    views only.
    """

    def __init__(
        self, members: Iterable[EvidenceNet], views: tuple[View, ...] = ("as_is",)
    ) -> None:
        """Hold members of one input and output shape.

        Raises
        ------
        PlanError
            No member, no view, an unknown view, or members whose shapes differ.
        """
        super().__init__()
        nets = list(members)
        if not nets or not views or set(views) - set(get_args(View)):
            raise PlanError("an ensemble needs at least one member and known views.")
        first = nets[0].config
        shapes = {
            (
                c.in_channels,
                c.n_outputs,
                c.n_concepts,
                c.has_concepts,
                c.image_size,
                c.grid,
                c.feature_size,
            )
            for c in (net.config for net in nets)
        }
        if len(shapes) > 1:
            raise PlanError("members of an ensemble must share their input and output shapes.")
        self.config = first
        self.views = views
        self.members = nn.ModuleList(nets)

    def forward(
        self,
        image: torch.Tensor,
        mask: torch.Tensor,
        length: torch.Tensor,
        concepts: torch.Tensor,
    ) -> EvidenceOutput:
        """Score cases; arguments and result as for ``EvidenceNet``."""
        cases, views = image.shape[0], len(self.views)
        shown = torch.cat([_turned(image, view) for view in self.views])
        masks = torch.cat([_turned(mask, view) for view in self.views])
        lengths, given = length.repeat(views), concepts.repeat(views, 1)
        outputs: list[EvidenceOutput] = [net(shown, masks, lengths, given) for net in self.members]

        def mean(parts: list[torch.Tensor]) -> torch.Tensor:
            """Mean over members and views of ``(V N, ...)`` parts, ``(N, ...)``."""
            total = torch.stack(parts).mean(0)
            return total.reshape(views, cases, *total.shape[1:]).mean(0)

        def upright(maps: torch.Tensor) -> torch.Tensor:
            """Maps ``(V N, ...)`` of turned cases as the cases stand."""
            apart = maps.reshape(views, cases, *maps.shape[1:])
            turned = [_turned(apart[i], view, trailing=1) for i, view in enumerate(self.views)]
            return torch.cat(turned)

        features = [
            out.features.reshape(views, cases, 1, out.features.shape[2]).mean(0) for out in outputs
        ]
        return EvidenceOutput(
            logit=mean([out.logit for out in outputs]),
            bias=torch.stack([out.bias[:cases] for out in outputs]).mean(0),
            maps=mean([upright(out.maps) for out in outputs]),
            attention=mean([out.attention for out in outputs]),
            concepts=torch.stack([out.concepts[:cases] for out in outputs]).mean(0),
            features=torch.cat(features, dim=1),
        )


def _turned(pixels: torch.Tensor, view: View, trailing: int = 0) -> torch.Tensor:
    """Mirror height and width, which ``trailing`` dimensions follow."""
    dims = tuple(dim - trailing for dim in _FLIPPED[view])
    return pixels.flip(dims) if dims else pixels
