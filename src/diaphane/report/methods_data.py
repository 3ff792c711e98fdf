"""Sentences of the methods paragraph about the data, its partitions and its preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diaphane.core.evaluation import Evaluation
from diaphane.core.finding import BundleRef
from diaphane.report.language import Language
from diaphane.report.run_facts import Material, RunFacts

Sentences = list[str]


@dataclass(frozen=True, eq=False)
class Told:
    """What a paragraph is written from; see ``write_run_report``."""

    plan: Mapping[str, Any]
    facts: RunFacts
    evaluation: Evaluation | None
    bundle: BundleRef | None
    calibration: Mapping[str, Any]

    @property
    def segmentation(self) -> bool:
        """Whether voxels were labelled, and not cases."""
        return self.plan.get("task") == "segmentation"


def data_sentences(material: Material, plan: Mapping[str, Any], lang: Language) -> Sentences:
    """What the images are and how many."""
    if not material.cases:
        return []
    said = []
    cases, groups = lang.number(material.cases), lang.number(material.groups)
    if material.grouped:
        said.append(
            lang.text(
                "The data set comprised %(cases)s cases of %(groups)s patients (groups).",
                cases=cases, groups=groups,
            )
        )  # fmt: skip
    else:
        said.append(
            lang.text(
                "The data set comprised %(cases)s cases; it does not say which belong to one "
                "patient, so each was taken as a patient of its own.",
                cases=cases,
            )
        )
    if material.classes:
        counted = lang.text(", ").join(
            f"{name} (n = {lang.number(n)})" for name, n in material.classes.items()
        )
        said.append(
            lang.text("Cases by label: %(classes)s.", classes=counted)
            if plan.get("task") in ("segmentation", "multilabel")
            else lang.text("Cases by class: %(classes)s.", classes=counted)
        )
    said += _images(material, lang)
    refused = sum(material.refused.values())
    if refused:
        said.append(
            lang.count(
                "%(n)s further case could not be read or prepared and took no part.",
                "%(n)s further cases could not be read or prepared and took no part.",
                refused,
            )
        )
    for source in material.sources:
        said.append(_source(source, lang))
    concepts = (plan.get("input") or {}).get("given_concepts") or ()
    if concepts:
        said.append(
            lang.text(
                "Tabulated values entered beside the images: %(names)s.",
                names=lang.text(", ").join(str(name) for name in concepts),
            )
        )
    return said


def _images(material: Material, lang: Language) -> Sentences:
    kind = lang.say("kind", material.kind) if material.kind else ""
    modality = "" if material.modality == "OT" else material.modality
    if lang.knows("modality", modality):
        modality = lang.say("modality", modality)
    if not kind:
        return []
    what = f"{kind} ({modality})" if modality else kind
    said = lang.text("Each case was %(what)s", what=what)
    if material.size is not None:
        z, y, x = (lang.number(n) for n in material.size)
        size = f"{x} × {y}" if material.kind == "image" else f"{x} × {y} × {z}"
        said += lang.pause + (
            lang.text("of a median size of %(size)s pixels", size=size)
            if material.kind == "image"
            else lang.text("of a median size of %(size)s voxels", size=size)
        )
        steps = material.spacing
        if steps is not None and all(step is not None for step in steps[1:]):
            shown = [s for s in (steps[2], steps[1], steps[0]) if s is not None]
            shown = shown[:2] if material.kind == "image" else shown
            said += lang.gap + lang.text(
                "and a median spacing of %(spacing)s mm",
                spacing=" × ".join(lang.significant(float(s)) for s in shown),
            )
    return [said + lang.full_stop.strip()]


def _source(source: Mapping[str, str], lang: Language) -> str:
    parts = [str(source.get("name") or "")]
    if source.get("licence") and source["licence"] != "not stated":
        parts.append(lang.text("licence %(licence)s", licence=source["licence"]))
    parts += [str(source[key]) for key in ("citation", "url") if source.get(key)]
    return lang.text("Source: %(source)s.", source=lang.semicolon.join(p for p in parts if p))


def split_sentences(told: Told, lang: Language) -> Sentences:
    """Who trained and who was judged."""
    plan, material = told.plan, told.facts.material
    split = plan.get("split") or {}
    folds = int(plan.get("folds") or split.get("folds") or 1)
    seed = str(told.facts.engine.seed)
    parts = lang.semicolon.join(
        _part(name, material.parts[name], material, lang)
        for name in sorted(material.parts, key=split_order)
    )
    said = []
    if folds > 1:
        said.append(
            lang.text(
                "Cases were cut into %(folds)s folds for cross-validation, stratified by class, "
                "with all cases of a patient in one fold (seed %(seed)s).",
                folds=lang.number(folds), seed=seed,
            )
            if material.grouped and not told.segmentation
            else lang.text(
                "Cases were cut into %(folds)s folds for cross-validation (seed %(seed)s).",
                folds=lang.number(folds), seed=seed,
            )
        )  # fmt: skip
    elif material.given and parts:
        said.append(lang.text("The data set's own partition was kept: %(parts)s.", parts=parts))
    elif parts:
        said.append(
            lang.text(
                "Cases were partitioned at random, with all cases of a patient on one side (seed "
                "%(seed)s): %(parts)s.",
                seed=seed, parts=parts,
            )
            if material.grouped
            else lang.text(
                "Cases were partitioned at random (seed %(seed)s): %(parts)s.",
                seed=seed, parts=parts,
            )
        )  # fmt: skip
    share = (plan.get("stopping") or {}).get("share")
    if isinstance(share, (int, float)) and share > 0:
        said.append(
            lang.text(
                "Of the cases that trained a network, %(share)s were set aside to choose its best "
                "epoch.",
                share=lang.percent(float(share)),
            )
        )
    if not material.grouped and material.cases:
        said.append(
            lang.text(
                "Without patient identifiers, images of one patient may stand on both sides; the "
                "figures may then be too good."
            )
        )
    return said


def split_order(name: str) -> tuple[int, str]:
    """Sorts training, validation, test, then the rest by name."""
    known = ("train", "val", "test")
    return (known.index(name) if name in known else len(known), name)


def _part(name: str, row: Mapping[str, int], material: Material, lang: Language) -> str:
    part, cases = lang.say("split", str(name)), lang.number(row.get("cases", 0))
    if not material.grouped:
        return lang.text("%(part)s %(cases)s cases", part=part, cases=cases)
    return lang.text(
        "%(part)s %(cases)s cases of %(groups)s patients",
        part=part, cases=cases, groups=lang.number(row.get("groups", 0)),
    )  # fmt: skip


def preprocessing_sentences(plan: Mapping[str, Any], lang: Language) -> Sentences:
    """The recipe in words, and the frame that the network saw."""
    steps = (plan.get("recipe") or {}).get("steps") or ()
    said = []
    words = [step_words(step, lang) for step in steps]
    if words:
        said.append(
            lang.text(
                "Images were prepared in this order: %(steps)s.", steps=lang.semicolon.join(words)
            )
        )
    spec = plan.get("input") or {}
    size = spec.get("size")
    if size:
        frame = " × ".join(lang.number(n) for n in reversed(size))
        said.append(
            {
                "given": lang.text(
                    "The network saw a frame of %(size)s pixels around the mask of what is judged.",
                    size=frame,
                ),
                "foreground": lang.text(
                    "The network saw a frame of %(size)s pixels around the outlined foreground.",
                    size=frame,
                ),
            }.get(
                str(spec.get("mask")),
                lang.text("The network saw whole images of %(size)s pixels.", size=frame),
            )
        )
        if spec.get("kind") == "sequence":
            said.append(
                lang.text(
                    "At most %(slices)s slices of a case were used, evenly spaced.",
                    slices=lang.number(int(spec.get("max_slices") or 1)),
                )
            )
    return said


def step_words(step: Any, lang: Language) -> str:
    """A step with its parameters: as a sentence's part where the table has one, else listed."""
    if not isinstance(step, Mapping) or not step:
        return str(step).replace("_", " ")
    fields = dict(step)
    name = str(fields.pop("step", None) or next(iter(fields)))
    inner = fields.pop(name, fields) or {}
    values = dict(inner) if isinstance(inner, Mapping) else {"": inner}
    values = {k: v for k, v in values.items() if not isinstance(v, Mapping) and v is not None}
    wanted = _STEP_VALUES.get(name)
    if wanted and set(wanted) <= set(values):
        shown = {
            key: " × ".join(lang.value(v) for v in reversed(value))
            if isinstance(value, (list, tuple))
            else value
            for key, value in values.items()
        }
        return lang.say("step", f"{name}_of", shown)
    words = lang.text(", ").join(
        f"{str(key).replace('_', ' ')} {lang.value(value)}".strip() for key, value in values.items()
    )
    named = lang.say("step", name)
    return f"{named} ({words})" if words else named


_STEP_VALUES = {
    "window": ("level", "width"),
    "rescale_intensity": ("in_low", "in_high"),
    "percentile": ("low", "high"),
    "resize": ("size",),
    "resample": ("spacing",),
    "clip": ("low", "high"),
}
