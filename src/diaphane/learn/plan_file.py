"""What every plan of a run can do as a file that a person reads and edits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diaphane.bundle.manifest import Reading
from diaphane.core.errors import PlanError
from diaphane.core.files import write_text


class PlanFile(BaseModel):
    """Validated decisions, written as YAML with the reason above each; unknown keys are refused.

    Attributes
    ----------
    reasons:
        Why, by key.
    reading:
        How DICOM is read, here and by the bundle that comes of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reasons: dict[str, str] = Field(default_factory=dict)
    schema_version: Literal[1] = 1
    name: str = Field(default="model", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = "1"
    title: str = ""
    intended_use: str = ""
    reading: Reading = Reading()

    def to_yaml(self) -> str:
        """The plan with each reason as a comment above its key."""
        values = self.model_dump(mode="json", exclude={"reasons"})
        lines = [
            "# What learning decided from the dataset. Edit it, and train with --plan FILE.",
            "# The reason for a decision stands above it.",
        ]
        for key, value in values.items():
            if key in self.reasons:
                lines += [f"# {line}" for line in self.reasons[key].splitlines()]
            text = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=100)
            lines.append(_compact(key, value) or text.rstrip("\n"))
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write ``plan.yaml`` in one step."""
        write_text(path, self.to_yaml())

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """Copy of the plan with other values at top-level keys; validated again.

        Raises
        ------
        PlanError
            Naming the key.
        """
        return self.from_dict({**self.model_dump(mode="json"), **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: Path | None = None) -> Self:
        """Validate a plan.

        Raises
        ------
        PlanError
            Naming the first wrong key.
        """
        try:
            return cls.model_validate_json(json.dumps(dict(values), default=str))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            said = first["msg"].removeprefix("Value error, ").rstrip(".") + "."
            if first["type"] == "extra_forbidden":
                said = "there is no such key."
            raise PlanError(
                f"plan key '{key}': {said}" if key else said,
                path=path,
                remedy="Correct it, or write a fresh plan with 'diaphane plan'.",
            ) from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate ``plan.yaml``.

        Raises
        ------
        PlanError
            The file cannot be read, is not YAML, or a key is wrong; the key is named.
        """
        return cls.from_dict(read_values(path), path)


def read_values(path: Path) -> dict[str, Any]:
    """What a ``plan.yaml`` says, not validated.

    Raises
    ------
    PlanError
        The file cannot be read, or is not a YAML mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError("The plan cannot be read.", path=path) from error
    except yaml.YAMLError as error:
        raise PlanError(f"The plan is not YAML: {error}".splitlines()[0], path=path) from error
    if not isinstance(values, dict):
        raise PlanError("The plan is not a YAML mapping.", path=path)
    return values


def _compact(key: str, value: Any) -> str | None:
    """A short list on one line, as a person would write it."""
    if isinstance(value, list) and value and not isinstance(value[0], (dict, list)):
        inner = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=100)
        return f"{key}: {inner.strip()}"
    return None
