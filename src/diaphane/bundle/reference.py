"""The training set's place in feature space, as ``reference.safetensors``."""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diaphane.core.decision import UnlikeTraining
from diaphane.core.errors import BundleCorrupt

_NAMES = ("mean", "whiten", "low", "high", "slack", "centre", "joint")


def reference_to_bytes(reference: UnlikeTraining) -> bytes:
    """Float32 tensors, named as the fields of ``UnlikeTraining``; ``limit`` is ``(1,)``."""
    tensors = {
        name: np.ascontiguousarray(getattr(reference, name), dtype=np.float32) for name in _NAMES
    }
    tensors["limit"] = np.array([reference.limit], dtype=np.float32)
    return bytes(save(tensors))


def reference_from_bytes(data: bytes, *, path: str | None = None) -> UnlikeTraining:
    """Inverse of :func:`reference_to_bytes`.

    Raises
    ------
    BundleCorrupt
        The file is damaged or its tensors do not fit each other.
    """
    try:
        tensors = load(data)
        members, size = tensors["mean"].shape
        fits = (
            tensors["whiten"].shape == (members, size, size)
            and tensors["low"].shape == tensors["high"].shape == tensors["slack"].shape
            and tensors["centre"].shape == tensors["low"].shape
            and tensors["joint"].shape == tensors["low"].shape * 2
            and all(np.isfinite(t).all() for t in tensors.values())
        )
        reference = UnlikeTraining(
            mean=tensors["mean"],
            whiten=tensors["whiten"],
            limit=float(tensors["limit"][0]),
            low=tensors["low"],
            high=tensors["high"],
            slack=tensors["slack"],
            centre=tensors["centre"],
            joint=tensors["joint"],
        )
    except (SafetensorError, KeyError, ValueError, IndexError) as error:
        raise BundleCorrupt("reference.safetensors cannot be read.", path=path) from error
    if not fits or reference.limit <= 0:
        raise BundleCorrupt("reference.safetensors does not hold a reference.", path=path)
    return reference
