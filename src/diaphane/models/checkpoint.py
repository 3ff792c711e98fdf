"""Weights on disk: one safetensors file whose header carries the configuration as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from diaphane.core.errors import UnreadableFile
from diaphane.core.files import write_bytes
from diaphane.models.config import EvidenceConfig
from diaphane.models.ensemble import Ensemble
from diaphane.models.evidence import EvidenceNet

_FORMAT = "diaphane-evidence/1"


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
        f"{i}.{name}": tensor.detach().cpu().contiguous()
        for i, net in enumerate(nets)
        for name, tensor in net.state_dict().items()
    }
    data = safetensors_bytes(tensors, {"diaphane": json.dumps(header, sort_keys=True)})
    write_bytes(path, data, durable=True)


def load_checkpoint(path: Path) -> EvidenceNet | Ensemble:
    """Read back what ``save_checkpoint`` wrote, on the CPU and in evaluation mode.

    Raises
    ------
    UnreadableFile
        The file is missing, damaged, or not such a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("diaphane", "{}"))
            tensors: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise UnreadableFile("not a readable checkpoint.", path=path) from error
    if header.get("format") != _FORMAT:
        raise UnreadableFile("not a checkpoint of this program.", path=path)
    nets = []
    for i, values in enumerate(header["members"]):
        net = EvidenceNet(EvidenceConfig.from_dict(values))
        start = f"{i}."
        state = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise UnreadableFile("weights and configuration do not fit.", path=path) from error
        nets.append(net.eval())
    if header["views"] is None:
        return nets[0]
    return Ensemble(nets, tuple(header["views"])).eval()


def _members(module: EvidenceNet | Ensemble) -> list[EvidenceNet]:
    if isinstance(module, EvidenceNet):
        return [module]
    return [net for net in module.members if isinstance(net, EvidenceNet)]
