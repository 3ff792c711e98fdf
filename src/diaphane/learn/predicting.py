"""What networks say of cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.learn.cases import Batch, CaseStore
from diaphane.models import Ensemble, EvidenceNet

FEATURES = 2000
"""Fitting cases of a network whose features tell what is unlike them, at most."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of n cases.

    ``logit (n, K)``, ``features (n, M, D)``, ``parts (n, 2, K)``: bias with concepts, and image.
    """

    logit: NDArray[np.float64]
    features: NDArray[np.float32]
    parts: NDArray[np.float64]


def predict(
    net: EvidenceNet | Ensemble,
    store: CaseStore,
    cases: NDArray[np.int64],
    batch: int,
    device: torch.device,
) -> Outputs:
    """Score unchanged cases, in the order given."""
    logits, features, parts = [], [], []
    with torch.inference_mode():
        for first in range(0, len(cases), batch):
            samples = [store.sample(int(case)) for case in cases[first : first + batch]]
            fed = Batch.of(samples, device)
            out = net(fed.image, fed.mask, fed.length, fed.concepts)
            image = out.maps.sum(dim=(1, 2, 3))
            logits.append(out.logit.double().cpu().numpy())
            features.append(out.features.float().cpu().numpy())
            both = torch.stack([out.logit - image, image], dim=1)
            parts.append(both.double().cpu().numpy())
    return Outputs(np.concatenate(logits), np.concatenate(features), np.concatenate(parts))


def quick_metric(task: str, logit: NDArray[Any], target: NDArray[Any]) -> float | None:
    """Area under the ROC curve, mean over outputs; ``None`` where no output has both classes."""
    from sklearn.metrics import roc_auc_score

    values = []
    for k in range(logit.shape[1]):
        truth = (target == k).astype(float) if task == "multiclass" else target[:, k]
        known = np.isfinite(truth)
        if len(np.unique(truth[known])) == 2:
            values.append(float(roc_auc_score(truth[known], logit[known, k])))
    return float(np.mean(values)) if values else None


def some(cases: NDArray[np.int64], most: int | None, seed: int) -> NDArray[np.int64]:
    """At most so many of the cases, drawn by seed and sorted."""
    if most is None or len(cases) <= most:
        return cases
    return np.sort(np.random.default_rng([seed, 5]).permutation(cases)[:most])
