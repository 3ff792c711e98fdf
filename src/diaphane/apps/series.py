"""Which series of a study an app takes, by a written table, and why the others were left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from diaphane.core.errors import AmbiguousInput, NotApplicable, UsageError
from diaphane.core.finding import SeriesChoice

Spacing = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Offer:
    """What the rule may know of one series: its headers, without identity.

    ``uid`` is compared with what the reader typed and goes nowhere else; ``orientation`` is
    "axial", "coronal", "sagittal", "oblique" or empty; ``index`` is the place among the volumes of
    one series, where there are several.
    """

    key: str
    number: int | None
    uid: str
    modality: str
    image_type: tuple[str, ...]
    orientation: str
    slices: int
    spacing: Spacing
    kernel: str
    index: int | None = None

    @property
    def label(self) -> str:
        """Number, or ``number.index``; "?" for none."""
        number = "?" if self.number is None else str(self.number)
        return number if self.index is None else f"{number}.{self.index}"

    def choice(self, *reasons: str, taken: bool = False) -> SeriesChoice:
        """The entry of an analysis for this series."""
        return SeriesChoice(
            self.key,
            self.number,
            self.modality,
            self.slices,
            self.spacing,
            self.kernel or None,
            taken,
            reasons,
        )


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Need(_Row):
    """A series fails when its ``fact`` is not what this row says; an unknown number fails."""

    fact: str
    code: str
    is_: tuple[str | bool, ...] = Field(default=(), alias="is")
    without: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: Any) -> bool:
        """Whether ``value`` passes."""
        if self.is_:
            return value in self.is_
        if self.without:
            words = {str(v).upper() for v in value}
            return not words & set(self.without)
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


class Wish(_Row):
    """How two series compare on one ``fact``; smaller :meth:`place` wins."""

    fact: str
    code: str
    more: bool = False
    step: float | None = None
    limit: float | None = None
    groups: tuple[float, ...] = ()
    order: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """Place of ``value``; equal places leave the choice to the next row."""
        if self.order:
            return float(self.order.index(value))
        number = float(value) if self.limit is None else min(float(value), self.limit)
        if self.groups:
            number = float(sum(number > edge for edge in self.groups))
        elif self.step:
            number = float(round(number / self.step))
        return -number if self.more else number


class Kernel(_Row):
    """A class of reconstruction kernels."""

    class_: str = Field(alias="class")
    pattern: str


class SeriesRule(_Row):
    """The table ``data/NAME.yaml``."""

    version: str
    require: tuple[Need, ...]
    prefer: tuple[Wish, ...]
    kernels: tuple[Kernel, ...]

    def facts(self, offer: Offer) -> dict[str, Any]:
        """What the rows of the table may ask for."""
        slice_mm = offer.spacing[0]
        return {
            "modality": offer.modality,
            "image_type": offer.image_type,
            "orientation": offer.orientation,
            "slices": offer.slices,
            "spacing_known": None not in offer.spacing,
            "slice_mm": slice_mm,
            "coverage_mm": None if slice_mm is None else slice_mm * offer.slices,
            "kernel": self.kernel_class(offer.kernel),
        }

    def kernel_class(self, name: str) -> str:
        """Class of a kernel by name, "unknown" when no pattern fits."""
        first = re.split(r"[\\/, ]", name.strip().lower())[0] if name.strip() else ""
        for row in self.kernels:
            if re.fullmatch(row.pattern, first):
                return row.class_
        return "unknown"


@cache
def load_series_rule(name: str) -> SeriesRule:
    """The table ``data/NAME.yaml`` of the package."""
    text = (files(__package__) / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return SeriesRule.model_validate(yaml.safe_load(text))


def choose_series(
    offers: Sequence[Offer], rule: SeriesRule | None, wanted: str | None = None
) -> tuple[int, tuple[SeriesChoice, ...]]:
    """Which series is taken, and why every other one was left.

    Parameters
    ----------
    offers:
        The series of the study.
    rule:
        The app's table; ``None`` takes a series only when there is no other.
    wanted:
        SeriesInstanceUID, number, ``number.index`` or keyed id of the series asked for.

    Returns
    -------
    Index into ``offers`` and one choice per offer, in their order.

    Raises
    ------
    UsageError
        When no series is the one asked for.
    NotApplicable
        When no series passes the rule; the message says why for each.
    AmbiguousInput
        When several are equal by the rule, or share the number that was asked for.
    """
    if wanted is not None:
        return _asked(offers, wanted)
    if rule is None:
        if len(offers) > 1:
            raise _tie(offers, "The input holds several series.")
        return 0, (offers[0].choice("only", taken=True),)
    failed = [[n.code for n in rule.require if not n.holds(rule.facts(o)[n.fact])] for o in offers]
    fit = [i for i, codes in enumerate(failed) if not codes]
    if not fit:
        why = "; ".join(
            f"{_label(o)}: {', '.join(codes)}" for o, codes in zip(offers, failed, strict=True)
        )
        raise NotApplicable(
            f"No series here is a chest CT that this app reads ({why}).",
            remedy="Name one with --series to have it read all the same.",
        )
    places = {i: tuple(w.place(rule.facts(offers[i])[w.fact]) for w in rule.prefer) for i in fit}
    best = min(fit, key=lambda i: places[i])
    equal = [i for i in fit if places[i] == places[best]]
    if len(equal) > 1:
        raise _tie([offers[i] for i in equal], "Several series fit equally well.")
    choices = []
    for i, offer in enumerate(offers):
        if i == best:
            reason = "preferred" if len(fit) > 1 else "only"
            choices.append(offer.choice(reason, taken=True))
        elif failed[i]:
            choices.append(offer.choice(*failed[i]))
        else:
            pairs = zip(rule.prefer, places[i], places[best], strict=True)
            lost = next(w.code for w, mine, theirs in pairs if mine != theirs)
            choices.append(offer.choice(lost))
    return best, tuple(choices)


def _asked(offers: Sequence[Offer], wanted: str) -> tuple[int, tuple[SeriesChoice, ...]]:
    name = wanted.strip()
    hits = [i for i, o in enumerate(offers) if name in (o.uid, o.key, o.label)]
    if not hits and name.isdigit():
        hits = [i for i, o in enumerate(offers) if o.number == int(name)]
    if not hits:
        known = "; ".join(_label(o) for o in offers)
        raise UsageError(f"There is no series '{name}' here.", remedy=f"The input holds: {known}.")
    if len(hits) > 1:
        raise _tie([offers[i] for i in hits], f"Several series are meant by {name}.")
    choices = tuple(
        o.choice("asked_for", taken=True) if i == hits[0] else o.choice("not_requested")
        for i, o in enumerate(offers)
    )
    return hits[0], choices


def _tie(offers: Sequence[Offer], problem: str) -> AmbiguousInput:
    listed = "; ".join(_label(o) for o in offers)
    return AmbiguousInput(
        f"{problem} {listed}.",
        remedy="Choose one with --series NUMBER, or with its key or UID.",
    )


def _label(offer: Offer) -> str:
    """One series on one line, without identity."""
    thick = "" if offer.spacing[0] is None else f" of {offer.spacing[0]:.3g} mm"
    kernel = f", kernel {offer.kernel}" if offer.kernel else ""
    return f"series {offer.label} ({offer.key}, {offer.modality}, {offer.slices} slices{thick}{kernel})"
