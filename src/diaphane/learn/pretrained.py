"""An encoder that learned from images without labels: its folder, and how training starts from it.

The folder holds ``encoder.safetensors`` (weights), ``encoder.json`` (what it is and what it saw) and
``report.html``. Nothing in it names a case or a path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as safetensors_bytes

from diaphane.bundle import InputSpec
from diaphane.core.errors import PlanError, UnreadableFile
from diaphane.core.files import write_bytes, write_text
from diaphane.learn.plans import EncoderRef, NetworkPlan, Plan
from diaphane.models import EvidenceConfig, EvidenceNet
from diaphane.preprocess import Recipe

WEIGHTS, FACTS, REPORT = "encoder.safetensors", "encoder.json", "report.html"
Method = Literal["agreement", "masked"]

_HEAD = frozenset(
    {
        "places",
        "rnn",
        "hidden",
        "sequence",
        "use_image",
        "use_concepts",
        "shape_segments",
        "dropout",
    }
)
"""Settings of a network that lie behind its encoder; all others shape the encoder."""


class EncoderFacts(BaseModel):
    """Content of ``encoder.json``.

    Attributes
    ----------
    input, recipe:
        What the encoder was fed with, by the code that training and a bundle use.
    network:
        The sizes of its network; those of the head carry no meaning.
    method, seed, steps, batch, loss:
        How it learned; ``loss`` is the mean of the first and of the last tenth of the steps.
    cases, slices, salt, seen:
        What it learned from: counts, and salted hashes of the cases' voxels.
    sha256:
        Of the weights.
    versions:
        Of what made it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    input: InputSpec
    recipe: dict[str, Any]
    network: NetworkPlan
    method: Method
    seed: int
    steps: int = Field(ge=0)
    batch: int = Field(ge=1)
    loss: tuple[float, float]
    seconds: float = Field(ge=0)
    cases: int = Field(ge=1)
    slices: int = Field(ge=1)
    salt: str
    seen: tuple[str, ...]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    versions: dict[str, str]

    @property
    def config(self) -> EvidenceConfig:
        """The network whose encoder this is."""
        return encoder_config(self.network, self.input)


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """An encoder as it was read: what it is, its weights by name, and the file's own bytes."""

    facts: EncoderFacts
    weights: Mapping[str, torch.Tensor]
    data: bytes

    @property
    def ref(self) -> EncoderRef:
        """What a plan remembers of it."""
        f = self.facts
        return EncoderRef(
            name=f.name, sha256=f.sha256, method=f.method, cases=f.cases, steps=f.steps
        )

    def write_weights(self, path: Path) -> None:
        """Copy the weights, so that a run needs nothing outside its folder."""
        write_bytes(path, self.data)


def encoder_config(network: NetworkPlan, spec: InputSpec) -> EvidenceConfig:
    """A network with this encoder, without concepts.

    Raises
    ------
    PlanError
        The sizes do not fit each other or the input.
    """
    values = {**network.model_dump(), "use_image": True, "use_concepts": False}
    return EvidenceConfig(in_channels=spec.channels, image_size=spec.size, **values)


def write_encoder(
    folder: Path, facts: Mapping[str, Any], encoder: torch.nn.Module
) -> PretrainedEncoder:
    """Write the weights, then ``encoder.json`` with their hash (``facts`` lacks ``sha256``)."""
    state = {name: t.detach().cpu().contiguous() for name, t in encoder.state_dict().items()}
    data = safetensors_bytes(state, {"diaphane": "encoder/1"})
    whole = EncoderFacts(**{**facts, "sha256": hashlib.sha256(data).hexdigest()})
    write_bytes(folder / WEIGHTS, data)
    text = json.dumps(whole.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_text(folder / FACTS, text + "\n")
    return PretrainedEncoder(whole, state, data)


def load_encoder(folder: str | Path) -> PretrainedEncoder:
    """Read an encoder's folder and check its weights against their hash.

    Raises
    ------
    UnreadableFile
        A file is missing or damaged, or weights and description do not fit.
    """
    place = Path(folder)
    try:
        values = json.loads((place / FACTS).read_text(encoding="utf-8"))
        facts = EncoderFacts.model_validate_json(json.dumps(values))
        data = (place / WEIGHTS).read_bytes()
    except OSError as error:
        raise UnreadableFile(
            "This is not the folder of an encoder.",
            path=place,
            remedy="Make one with 'diaphane pretrain DATASET --out ENCODER'.",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UnreadableFile(f"key '{key}': {first['msg']}.", path=place / FACTS) from error
    except ValueError as error:
        raise UnreadableFile("The description is damaged.", path=place / FACTS) from error
    weights = read_weights(data, facts.sha256, place / WEIGHTS)
    return PretrainedEncoder(facts, weights, data)


def read_weights(data: bytes, sha256: str, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a weights file whose hash is known.

    Raises
    ------
    UnreadableFile
        The hash differs, or the file is damaged.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadableFile("The encoder's weights do not match their hash.", path=path)
    try:
        return dict(tensors_of(data))
    except SafetensorError as error:
        raise UnreadableFile("The encoder's weights are damaged.", path=path) from error


def adopt(plan: Plan, encoder: PretrainedEncoder) -> tuple[Plan, list[str]]:
    """The plan as it must be to start from an encoder, and what changed, in words.

    Frame, recipe and the encoder's sizes are the encoder's own; concepts, mask (what is judged), head
    and training stay the plan's. Families that the plan would choose from are dropped, since their
    encoders differ.

    Raises
    ------
    PlanError
        The encoder reads another kind of image, or the plan has no image part.
    """
    facts = encoder.facts
    if not plan.network.use_image:
        raise PlanError("plan key 'network.use_image': an encoder needs the image part.")
    if facts.input.channels != plan.input.channels:
        raise PlanError(
            f"The encoder reads {facts.input.channels} channels, and this data set has "
            f"{plan.input.channels}.",
            remedy="Pretrain on images of the same kind.",
        )
    learned = f"{facts.method}, {facts.steps} steps on {facts.cases} cases without labels"
    said = [
        f"The networks start from encoder '{facts.name}': {learned}.",
        "Cases that it learned from are known to it by their images, though not by their labels.",
    ]
    network = plan.network.model_dump(mode="json")
    own = {k: v for k, v in facts.network.model_dump(mode="json").items() if k not in _HEAD}
    changed = sorted(name for name, value in own.items() if network.get(name) != value)
    spec = plan.input.model_dump(mode="json")
    feed = {name: facts.input.model_dump(mode="json")[name] for name in ("size", "pixel_mm", "pad")}
    changed += sorted(f"input.{name}" for name, value in feed.items() if spec[name] != value)
    mine, its = (Recipe.from_dict(r).to_dict()["steps"] for r in (plan.recipe, facts.recipe))
    if mine != its:
        changed.append("recipe")
    if changed:
        said.append(f"Taken from the encoder instead of the plan: {', '.join(changed)}.")
    changes: dict[str, Any] = {
        "network": {**network, **own},
        "input": {**spec, **feed},
        "recipe": facts.recipe,
        "encoder": encoder.ref.model_dump(mode="json"),
    }
    if getattr(plan, "families", None):
        changes["families"] = {}
        said.append("No family is chosen: the encoder decides the network.")
    reasons = {**plan.reasons, "encoder": " ".join(said)}
    return plan.with_changes({**changes, "reasons": reasons}), said


def start_from(net: EvidenceNet, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a network an encoder's weights; the rest stays as it is.

    Raises
    ------
    PlanError
        They do not fit the network.
    """
    if net.encoder is None:
        raise PlanError("plan key 'network.use_image': an encoder needs the image part.")
    try:
        net.encoder.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise PlanError(
            "plan key 'network': the encoder's weights do not fit these sizes.",
            remedy="Leave the plan's network as the encoder's, or train without --encoder.",
        ) from error
