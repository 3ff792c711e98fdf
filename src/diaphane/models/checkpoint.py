"""Weights on disk: one safetensors file whose header carries the configuration as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from diaphane.core.errors import UnreadableFile
from diaphane.core.files import write_bytes
from diaphane.models.config import EvidenceConfig
from diaphane.models.ensemble import Ensemble
from diaphane.models.evidence import EvidenceNet

_FORMAT = "diaphane-evidence/1"
N = TypeVar("N", bound=torch.nn.Module)


def save_checkpoint(module: EvidenceNet | Ensemble, path: Path) -> None:
    """Write a network or an ensemble; the file appears only when it is whole.

    Nothing is pickled. The header's ``diaphane`` entry is JSON: ``format``, ``members`` (a list of
    configurations) and ``views`` (null for a single network).
    """
    nets = _members(module)
    header = {
        "format": _FORMAT,
        "members": [net.config.to_dict() for net in nets],
        "views": list(module.views) if isinstance(module, Ensemble) else None,
    }
    tensors = {
        f"{i}.{name}": tensor
        for i, net in enumerate(nets)
        for name, tensor in net.state_dict().items()
    }
    write_tensors(path, tensors, header)


def load_checkpoint(path: Path) -> EvidenceNet | Ensemble:
    """Read back what ``save_checkpoint`` wrote, on the CPU and in evaluation mode.

    Raises
    ------
    UnreadableFile
        The file is missing, damaged, or not such a checkpoint.
    """
    header, tensors = read_tensors(path, _FORMAT)
    nets = []
    for i, values in enumerate(header["members"]):
        start = f"{i}."
        state = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        nets.append(with_weights(EvidenceNet(EvidenceConfig.from_dict(values)), state, path))
    if header["views"] is None:
        return nets[0]
    return Ensemble(nets, tuple(header["views"])).eval()


def _members(module: EvidenceNet | Ensemble) -> list[EvidenceNet]:
    if isinstance(module, EvidenceNet):
        return [module]
    return [net for net in module.members if isinstance(net, EvidenceNet)]


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors under a header of plain values; the file appears only when it is whole."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors_bytes(plain, {"diaphane": json.dumps(header, sort_keys=True)})
    write_bytes(path, data, durable=True)


def read_tensors(path: Path, form: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a file of :func:`write_tensors` whose header's ``format`` is ``form``.

    Raises
    ------
    UnreadableFile
        The file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("diaphane", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise UnreadableFile("The weights cannot be read.", path=path) from error
    if header.get("format") != form:
        raise UnreadableFile(f"Not a file of the format {form}.", path=path)
    return header, tensors


def with_weights(net: N, tensors: Mapping[str, torch.Tensor], path: Path) -> N:
    """The network with weights from ``path``, in evaluation mode.

    Raises
    ------
    UnreadableFile
        They are not of such a network.
    """
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise UnreadableFile("Weights and configuration do not fit.", path=path) from error
    return net.eval()
