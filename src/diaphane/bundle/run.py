"""Running a bundle's graph on prepared cases, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.prepare import PreparedCase
from diaphane.core.errors import BundleCorrupt
from diaphane.core.protocols import Runner
from diaphane.core.runtime import onnx_runtime

Floats = NDArray[np.float32]

INPUTS = ("image", "mask", "length", "concepts")
OUTPUTS = ("logit", "bias", "maps", "attention", "concept_contributions", "features")
MOST_PIXELS = 4_000_000
"""Pixels that go through the network at once; a larger single case still goes alone."""

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


@dataclass(frozen=True, eq=False)
class Output:
    """The network's answer for one case; the parts add up to ``logit``.

    Attributes
    ----------
    logit, bias:
        ``(K,)``.
    maps:
        ``(T, h, w, K)`` contributions of places.
    attention:
        ``(T,)``, sums to 1.
    concepts:
        ``(J, K)`` contributions of concepts; zeros when the network takes none.
    features:
        ``(M, D)`` pooled features of each member.
    """

    logit: Floats
    bias: Floats
    maps: Floats
    attention: Floats
    concepts: Floats
    features: Floats


class OnnxRunner:
    """A :class:`~diaphane.core.protocols.Runner` over ONNX Runtime on the CPU.

    Parameters
    ----------
    model:
        The ONNX file's bytes.
    threads:
        Threads within an operation; ``None`` for all cores.

    takes, gives:
        The contract's names: some of ``takes`` go in, all of ``gives`` come out.

    Raises
    ------
    BundleCorrupt
        The graph cannot be read, or has other inputs and outputs than the contract's.
    """

    def __init__(
        self,
        model: bytes,
        threads: int | None = None,
        *,
        path: str | None = None,
        takes: tuple[str, ...] = INPUTS,
        gives: tuple[str, ...] = OUTPUTS,
    ) -> None:
        ort = onnx_runtime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(model, options, ["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises a class of its own per status code
            raise BundleCorrupt("model.onnx is not a graph that can be run.", path=path) from error
        self.inputs = tuple(i.name for i in self._session.get_inputs())
        found = tuple(o.name for o in self._session.get_outputs())
        self.outputs = gives
        missing = [name for name in gives if name not in found]
        if missing or not set(self.inputs) <= set(takes):
            raise BundleCorrupt(
                f"model.onnx takes {', '.join(self.inputs)} and gives {', '.join(found)}; "
                f"a bundle's takes some of {', '.join(takes)} and gives {', '.join(gives)}.",
                path=path,
            )

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, Floats]:
        """Run once; feeds that the graph does not declare are left out."""
        taken = {name: np.ascontiguousarray(feeds[name]) for name in self.inputs}
        values = self._session.run(list(self.outputs), taken)
        return dict(zip(self.outputs, values, strict=True))


def run_cases(
    runner: Runner, cases: Sequence[PreparedCase], tta: Literal["none", "flips"] = "none"
) -> list[Output]:
    """Answers in the order of ``cases``; padding of a batch never changes one.

    With ``flips`` logits and un-flipped maps are averaged over the mirrorings, never
    probabilities, so that the parts still add up.
    """
    outputs: dict[int, Output] = {}
    for batch in _batches(cases):
        feeds = _padded([cases[i] for i in batch])
        found = [_flipped(runner, feeds, axes) for axes in (_FLIPS if tta == "flips" else ((),))]
        mean = {name: np.mean([f[name] for f in found], axis=0) for name in OUTPUTS}
        for row, i in enumerate(batch):
            outputs[i] = _own(mean, row, cases[i])
    return [outputs[i] for i in range(len(cases))]


def _batches(cases: Sequence[PreparedCase]) -> Iterator[list[int]]:
    """Indices of cases of like length, up to the pixel limit."""
    batch: list[int] = []
    for i in sorted(range(len(cases)), key=lambda i: cases[i].length):
        shape = cases[i].image.shape
        if batch and (
            (len(batch) + 1) * cases[i].image.size > MOST_PIXELS
            or shape[1:] != cases[batch[0]].image.shape[1:]
        ):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _padded(cases: Sequence[PreparedCase]) -> dict[str, NDArray[Any]]:
    longest = max(case.length for case in cases)
    channels, height, width = cases[0].image.shape[1:]
    image = np.zeros((len(cases), longest, channels, height, width), dtype=np.float32)
    mask = np.zeros((len(cases), longest, height, width), dtype=np.float32)
    for row, case in enumerate(cases):
        image[row, : case.length] = case.image
        mask[row, : case.length] = case.mask
    return {
        "image": image,
        "mask": mask,
        "length": np.array([case.length for case in cases], dtype=np.int64),
        "concepts": np.stack([case.concepts for case in cases]).astype(np.float32),
    }


def _flipped(
    runner: Runner, feeds: Mapping[str, NDArray[Any]], axes: tuple[int, ...]
) -> dict[str, Floats]:
    if not axes:
        return dict(runner(feeds))
    seen = {name: np.flip(feeds[name], axes) for name in ("image", "mask")}
    found = dict(runner({**feeds, **seen}))
    found["maps"] = np.flip(found["maps"], tuple(axis - 1 for axis in axes))
    return found


def _own(found: Mapping[str, Floats], row: int, case: PreparedCase) -> Output:
    """One case's part of a batch, without the padding."""
    concepts = found["concept_contributions"][row]
    if not len(concepts):  # a network without concepts, in a bundle that names some
        concepts = np.zeros((len(case.concepts), found["logit"].shape[1]), dtype=np.float32)
    return Output(
        logit=found["logit"][row],
        bias=found["bias"][row],
        maps=found["maps"][row, : case.length],
        attention=found["attention"][row, : case.length],
        concepts=concepts,
        features=found["features"][row],
    )
