"""Two networks that learned apart, one from images and one from concepts, as one network."""

from __future__ import annotations

from dataclasses import replace

import torch

from diaphane.core.errors import PlanError
from diaphane.models.evidence import EvidenceNet


@torch.no_grad()
def blend(image: EvidenceNet, concepts: EvidenceNet, share: float) -> EvidenceNet:
    """One network whose score is ``share`` of the image's and the rest of the concepts'.

    Learned together, the part that learns faster (the concepts) leaves the other little to do;
    learned apart, their errors differ and the mean is better than both. Since both scores are sums,
    scaling the weights is enough: the result is an ordinary network and still adds up.

    Parameters
    ----------
    image:
        A network without concepts (``use_concepts`` false, or J = 0).
    concepts:
        A network without image, with as many outputs.
    share:
        Weight of the image, above 0 and below 1.

    Returns
    -------
    EvidenceNet
        A new network in evaluation mode; curves keep their mean of zero.

    Raises
    ------
    PlanError
        A network has a part that it should not have, outputs differ, or the share is out of range.
    """
    if image.encoder is None or image.shapes is not None:
        raise PlanError("the first network of a blend reads the image alone.")
    if concepts.shapes is None or concepts.encoder is not None:
        raise PlanError("the second network of a blend reads the concepts alone.")
    if image.config.n_outputs != concepts.config.n_outputs or not 0.0 < share < 1.0:
        raise PlanError("a blend needs as many outputs of both and a share between 0 and 1.")
    rest = 1.0 - share
    net = EvidenceNet(
        replace(
            image.config,
            n_concepts=concepts.config.n_concepts,
            use_concepts=True,
            shape_segments=concepts.config.shape_segments,
        )
    )
    state = dict(image.state_dict())
    state["weight"] = image.weight * share
    state["bias"] = image.bias * share + concepts.bias * rest
    for name, value in concepts.shapes.state_dict().items():
        state[f"shapes.{name}"] = value * rest if name in {"rise", "offset"} else value
    net.load_state_dict(state)
    return net.eval()
