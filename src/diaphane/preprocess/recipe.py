"""An ordered list of steps, as data: kept in a file, replayed, hashed, undone.

::

    version: 1
    name: chest
    steps:
      - orient: {axes: LPS}
      - resample: {spacing: [1.0, 1.0, 1.0]}
      - window: {level: -600, width: 1500}
      - grey
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from diaphane.core.errors import RecipeError
from diaphane.core.files import write_text
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import denoise, grid, intensity, spacing
from diaphane.preprocess.passage import Interpolation, Passage, axis_passage, carry
from diaphane.preprocess.step import Step

VERSION = 1

STEPS: Mapping[str, type[Any]] = {
    kind.name: kind
    for kind in (
        intensity.Grey,
        intensity.Window,
        intensity.Clip,
        intensity.RescaleIntensity,
        intensity.ZScore,
        intensity.MinMax,
        intensity.Percentile,
        intensity.MaskedBackground,
        spacing.Resample,
        spacing.ResampleGrid,
        spacing.Resize,
        grid.Crop,
        grid.Pad,
        grid.CropOrPad,
        grid.CropForeground,
        grid.Orient,
        grid.ThinSlices,
        grid.LimitSlices,
        denoise.DenoiseMedian,
        denoise.DenoiseGaussian,
        denoise.DenoiseNlm,
        denoise.DenoiseTv,
    )
}
"""Every step that a recipe file can name."""


@dataclass(frozen=True, eq=False)
class Trace:
    """The way that an image took through a recipe's grids; enough to bring results back."""

    native: Geometry
    passages: tuple[Passage, ...] = ()

    @property
    def passage(self) -> Passage:
        """All passages as one, from the native grid to the prepared one."""
        z, y, x = self.native.shape
        start = axis_passage(self.native, (z, y, x))
        return reduce(Passage.then, self.passages, start)

    @property
    def prepared(self) -> Geometry:
        """The grid at the end of the recipe."""
        return self.passages[-1].after if self.passages else self.native

    def to_native(self, index: Any) -> Any:
        """Prepared indices ``(..., 3)`` as (z, y, x) on the native grid, fractional."""
        return self.passage.to_before(index)

    def to_prepared(self, index: Any) -> Any:
        """Native indices ``(..., 3)`` as (z, y, x) on the prepared grid, fractional."""
        return self.passage.to_after(index)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; ``from_dict`` reads it back."""
        return {
            "native": self.native.to_dict(),
            "passages": [passage.to_dict() for passage in self.passages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """Inverse of :meth:`to_dict`."""
        return cls(
            Geometry.from_dict(data["native"]),
            tuple(Passage.from_dict(passage) for passage in data["passages"]),
        )


class Prepared(NamedTuple):
    """What a recipe made of an image."""

    volume: Volume
    mask: Volume | None
    trace: Trace


@dataclass(frozen=True)
class Recipe:
    """Preprocessing as data. The same recipe runs in training, evaluation and a bundle.

    Attributes
    ----------
    steps:
        Frozen steps, in order.
    name:
        For people; not part of :attr:`sha256`.
    version:
        Version of the recipe format that the steps mean.
    """

    steps: tuple[Step, ...]
    name: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))

    def apply(
        self, volume: Volume, mask: Volume | None = None, *, threads: int | None = None
    ) -> Prepared:
        """Run every step on ``volume``, and bring ``mask`` (same grid) along.

        Raises
        ------
        RecipeError
            When a step does not fit the image; names the step and its number.
        MissingSpacing
            When a step needs millimetres that the image does not state.
        """
        if mask is not None and mask.shape != volume.shape:
            raise RecipeError(f"A mask of {mask.shape} does not fit an image of {volume.shape}.")
        native, passages = volume.geometry, []
        for number, step in enumerate(self.steps, start=1):
            try:
                volume, mask, passage = step.apply(volume, mask, threads)
            except RecipeError as error:
                raise RecipeError(
                    f"Step {number} ({step.name}): {error.problem}", remedy=error.remedy
                ) from error
            if passage is not None:
                passages.append(passage)
        return Prepared(volume, mask, Trace(native, tuple(passages)))

    def undo(
        self,
        result: Volume,
        trace: Trace,
        *,
        interpolation: Interpolation = "nearest",
        fill: float = 0.0,
        threads: int | None = None,
    ) -> Volume:
        """Labels (nearest) or a map ("linear") brought back onto the native grid.

        All passages are undone at once, so that values are interpolated once. What the
        recipe cut away is ``fill``.

        Raises
        ------
        RecipeError
            When ``result`` is not on the prepared grid.
        """
        if result.shape != trace.prepared.shape:
            raise RecipeError(
                f"A result of {result.shape} does not lie on the prepared grid of "
                f"{trace.prepared.shape}."
            )
        back = trace.passage.reversed()
        return carry(result, back, interpolation, fill=fill, threads=threads)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """A recipe from its data; see the module for the shape.

        Raises
        ------
        RecipeError
            On an unknown step, key or version, or a value of the wrong kind.
        """
        if not isinstance(data, Mapping):
            raise RecipeError("A recipe is a mapping with 'version' and 'steps'.")
        unknown = sorted(str(key) for key in set(data) - {"version", "name", "steps"})
        if unknown:
            raise RecipeError(
                f"A recipe has no key '{unknown[0]}'.", remedy="Known: version, name, steps."
            )
        version = data.get("version")
        if version != VERSION or isinstance(version, bool):
            newer = isinstance(version, int) and version > VERSION
            raise RecipeError(
                f"Recipe version {version!r} is not known here.",
                remedy="Update diaphane." if newer else f"State 'version: {VERSION}'.",
            )
        entries = data.get("steps")
        if not isinstance(entries, list | tuple):
            raise RecipeError("A recipe needs a list of 'steps'.")
        steps = tuple(_step(entry, number) for number, entry in enumerate(entries, start=1))
        return cls(steps, str(data.get("name") or ""), VERSION)

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """A recipe from YAML or JSON text."""
        import yaml

        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"Not YAML or JSON: {error}") from error
        return cls.from_dict(data)

    @classmethod
    def from_file(cls, path: str | Path) -> Recipe:
        """A recipe from a YAML or JSON file."""
        try:
            return cls.from_text(Path(path).read_text(encoding="utf-8"))
        except RecipeError as error:
            raise RecipeError(error.problem, path=path, remedy=error.remedy) from error
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"Cannot be read as a recipe: {error}", path=path) from error

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, every parameter written out."""
        return {
            "version": self.version,
            "name": self.name,
            "steps": [{step.name: _parameters(step)} for step in self.steps],
        }

    def to_yaml(self) -> str:
        """YAML that :meth:`from_text` reads back."""
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        return text

    def to_json(self) -> str:
        """JSON that :meth:`from_text` reads back."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)

    def save(self, path: str | Path) -> None:
        """Write as JSON where the name ends in ``.json``, else as YAML."""
        write_text(path, self.to_json() + "\n" if Path(path).suffix == ".json" else self.to_yaml())

    @property
    def sha256(self) -> str:
        """Hash of what the recipe does: version and steps with every parameter, not the name."""
        content = {key: value for key, value in self.to_dict().items() if key != "name"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def make_step(name: str, parameters: Mapping[str, Any]) -> Step:
    """The step of that name with checked parameters.

    Raises
    ------
    RecipeError
        On an unknown step or key, a missing key, or a value of the wrong kind.
    """
    from pydantic import TypeAdapter, ValidationError

    kind = STEPS.get(name)
    if kind is None:
        near = _nearest(name, STEPS)
        raise RecipeError(f"There is no step '{name}'.", remedy=near)
    keys = [field.name for field in dataclasses.fields(kind)]
    for key in parameters:
        if key not in keys:
            raise RecipeError(
                f"'{name}' has no key '{key}'.", remedy=f"Known: {', '.join(keys) or 'none'}."
            )
    try:
        step: Step = TypeAdapter(kind).validate_python(dict(parameters))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise RecipeError(f"'{name}', {where}: {first['msg']}.") from error
    try:
        _parameters(step)
    except ValueError as error:
        raise RecipeError(f"'{name}': every number must be finite.") from error
    return step


def _step(entry: Any, number: int) -> Step:
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise RecipeError(f"Step {number}: a step is one name with its parameters, not {entry!r}.")
    (name, parameters) = next(iter(entry.items()))
    if parameters is None:
        parameters = {}
    try:
        if not isinstance(parameters, Mapping):
            raise RecipeError(f"'{name}' needs its parameters by name, not {parameters!r}.")
        return make_step(str(name), parameters)
    except RecipeError as error:
        raise RecipeError(f"Step {number}: {error.problem}", remedy=error.remedy) from error


def _parameters(step: Step) -> dict[str, Any]:
    values: dict[str, Any] = dataclasses.asdict(step)  # type: ignore[call-overload]  # steps are dataclasses; a Protocol cannot say so
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}."
