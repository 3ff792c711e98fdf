"""The methods paragraph of a run, as a paper would print it.

Each part says only what the run knows; what it cannot know (how patients were recruited, who
read the images) is left to the checklist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diaphane.core.evaluation import Evaluation
from diaphane.core.finding import BundleRef
from diaphane.report.evaluation import metric_words
from diaphane.report.language import Language
from diaphane.report.methods_network import duration, network_sentences, training_sentences
from diaphane.report.run_facts import Material, RunFacts
from diaphane.report.study import interval_words

Sentences = list[str]
FIGURES = (
    "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier", "ece", "dice",
    "hd95",
)  # fmt: skip
"""Figures that the paragraph states, as far as they were measured."""


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


def methods(told: Told, lang: Language) -> list[tuple[str, str]]:
    """Headings and their text; empty parts are left out."""
    parts = [
        (lang.text("Data."), data_sentences(told.facts.material, told.plan, lang)),
        (lang.text("Partitions."), split_sentences(told, lang)),
        (lang.text("Preprocessing."), preprocessing_sentences(told.plan, lang)),
        (lang.text("Model."), network_sentences(told.plan, told.facts, lang)),
        (lang.text("Training."), training_sentences(told.plan, told.facts, lang)),
        (lang.text("Calibration."), calibration_sentences(told, lang)),
        (lang.text("Evaluation."), evaluation_sentences(told, lang)),
        (lang.text("Software."), software_sentences(told, lang)),
    ]
    return [(heading, lang.gap.join(said)) for heading, said in parts if said]


def data_sentences(material: Material, plan: Mapping[str, Any], lang: Language) -> Sentences:
    """What the images are and how many."""
    if not material.cases:
        return []
    said = []
    cases, groups = lang.number(material.cases), lang.number(material.groups)
    if material.grouped:
        said.append(
            lang.text(
                "The data set comprised %(cases)s cases of %(groups)s groups (patients).",
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
            f"{name} {lang.number(n)}" for name, n in material.classes.items()
        )
        said.append(lang.text("Cases by class or label: %(classes)s.", classes=counted))
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
    modality = (
        lang.say("modality", material.modality)
        if material.modality and lang.knows("modality", material.modality)
        else material.modality
    )
    if not kind:
        return []
    what = f"{kind} ({modality})" if modality and modality != "OT" else kind
    said = lang.text("Each case was %(what)s", what=what)
    if material.size is not None:
        z, y, x = (lang.number(n) for n in material.size)
        size = f"{x} × {y}" if material.kind == "image" else f"{x} × {y} × {z}"
        said += lang.pause + lang.text("of a median size of %(size)s voxels", size=size)
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
    seed = lang.number(told.facts.engine.seed)
    parts = lang.text(", ").join(
        lang.text(
            "%(part)s %(cases)s cases of %(groups)s groups", part=lang.say("split", str(part)),
            cases=lang.number(row.get("cases", 0)), groups=lang.number(row.get("groups", 0)),
        )
        for part, row in material.parts.items()
    )  # fmt: skip
    said = []
    if folds > 1:
        said.append(
            lang.text(
                "Cases were cut into %(folds)s folds for cross-validation, with all cases of a "
                "group in one fold (seed %(seed)s).",
                folds=lang.number(folds), seed=seed,
            )
        )  # fmt: skip
    elif material.given and parts:
        said.append(lang.text("The data set's own partition was kept: %(parts)s.", parts=parts))
    elif parts:
        said.append(
            lang.text(
                "Cases were partitioned at random with all cases of a group on one side (seed "
                "%(seed)s): %(parts)s.",
                seed=seed, parts=parts,
            )
        )  # fmt: skip
    share = (plan.get("stopping") or {}).get("share")
    if isinstance(share, (int, float)) and share > 0:
        said.append(
            lang.text(
                "Within the cases that trained a network, %(share)s, again whole groups, were set "
                "aside to choose its best epoch.",
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


def preprocessing_sentences(plan: Mapping[str, Any], lang: Language) -> Sentences:
    """The recipe in words, and the frame that the network saw."""
    steps = (plan.get("recipe") or {}).get("steps") or ()
    said = []
    words = [_step(step, lang) for step in steps]
    if words:
        said.append(
            lang.text("Images were prepared in this order: %(steps)s.", steps="; ".join(words))
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


def _step(step: Any, lang: Language) -> str:
    if not isinstance(step, Mapping) or not step:
        return str(step).replace("_", " ")
    fields = dict(step)
    name = str(fields.pop("step", None) or next(iter(fields)))
    inner = fields.pop(name, fields) or {}
    values = dict(inner) if isinstance(inner, Mapping) else {"": inner}
    words = lang.text(", ").join(
        f"{str(key).replace('_', ' ')} {lang.value(value)}".strip()
        for key, value in values.items()
        if not isinstance(value, Mapping) and value is not None
    )
    named = lang.say("step", name)
    return f"{named} ({words})" if words else named


def calibration_sentences(told: Told, lang: Language) -> Sentences:
    """How scores became probabilities, sets and decisions."""
    plan, facts = told.plan, told.calibration
    if told.segmentation or not facts:
        return []
    said = [
        lang.text(
            "Logits were turned into probabilities by vector scaling fitted on cases that did "
            "not train the network (Guo et al. 2017)."
        )
        if plan.get("task") == "multiclass"
        else lang.text(
            "Logits were turned into probabilities by logistic calibration fitted on cases that "
            "did not train the network (Platt 1999)."
        )
    ]
    level = plan.get("set_level")
    if isinstance(level, (int, float)) and plan.get("task") != "multilabel":
        said.append(
            lang.text(
                "Prediction sets are class-conditional conformal sets at a level of %(level)s "
                "(Vovk 2012).",
                level=lang.percent(float(level)),
            )
        )
    if plan.get("task") == "binary":
        said.append(
            lang.text(
                "Operating points were chosen for a sensitivity of 95%%, for Youden's index and "
                "for a specificity of 95%%.",
                n=0,
            )
        )
    return said


def evaluation_sentences(told: Told, lang: Language) -> Sentences:
    """What was measured on whom, with intervals."""
    e = told.evaluation
    if e is None or not e.n:
        return [lang.text("No held-out case could be scored, so no figure is given.")]
    settings = dict(e.settings)
    n, groups = lang.number(e.n), lang.number(e.groups)
    if e.split == "out_of_fold":
        said = [
            lang.text(
                "Each of %(n)s cases of %(groups)s groups was judged by networks that had not "
                "seen its group.",
                n=n, groups=groups,
            )
        ]  # fmt: skip
    else:
        said = [
            lang.text(
                "Figures are of %(n)s cases of %(groups)s groups (%(split)s) that took no part in "
                "training.",
                n=n, groups=groups, split=lang.say("split", e.split),
            )
        ]  # fmt: skip
    if settings.get("cross_fitted") or told.calibration.get("cross_fitted"):
        said.append(
            lang.text(
                "Calibration was cross-fitted: no group was judged by a calibration that had "
                "seen it."
            )
        )
    figures = [
        f"{metric_words(name, lang)} {words}"
        for name, figure in e.metrics.items()
        if name.partition(":")[0] in FIGURES and (words := interval_words(figure, lang))
    ]
    if figures:
        said.append(
            lang.text("Results: %(figures)s.", figures=lang.semicolon.join(figures)),
        )
    rounds = settings.get("rounds") or told.calibration.get("rounds")
    level = settings.get("level") or 0.95
    if isinstance(rounds, int):
        said.append(
            lang.text(
                "Intervals are %(level)s percentile bootstrap intervals over groups (%(rounds)s "
                "rounds, seed %(seed)s).",
                level=lang.percent(float(level)), rounds=lang.number(rounds),
                seed=lang.number(int(settings.get("seed") or 0)),
            )
        )  # fmt: skip
    threshold = settings.get("threshold")
    shown = {"accuracy", "sensitivity", "specificity"} & set(e.metrics)
    if isinstance(threshold, (int, float)) and shown and e.task != "multiclass":
        said.append(
            lang.text(
                "Accuracy, sensitivity and specificity are at a probability of %(threshold)s.",
                threshold=lang.significant(float(threshold)),
            )
        )
    return said


def software_sentences(told: Told, lang: Language) -> Sentences:
    """Versions, machine, seed, and the hash of what came out."""
    engine, planning = told.facts.engine, told.facts.planning
    said = []
    versions: Sequence[str] = [f"{name} {version}" for name, version in engine.versions.items()]
    if versions:
        said.append(
            lang.text(
                "Everything was done with %(versions)s.", versions=lang.text(", ").join(versions)
            )
        )
    where = [part for part in (engine.device.upper(), engine.processor, engine.system) if part]
    if versions and where:
        machine = lang.semicolon.join(where)
        if engine.threads:
            machine += lang.pause + lang.count(
                "%(n)s compute thread", "%(n)s compute threads", engine.threads
            )
        said.append(lang.text("The machine: %(machine)s.", machine=machine))
    if planning.seconds:
        said.append(
            lang.text("The run took %(time)s.", time=duration(planning.seconds, lang)),
        )
    said.append(lang.text("The seed of all randomness was %(seed)s.", seed=str(engine.seed)))
    if told.bundle is not None:
        said.append(
            lang.text(
                "The trained model is the bundle %(name)s %(version)s (SHA-256 %(hash)s…).",
                name=told.bundle.name, version=told.bundle.version,
                hash=told.bundle.sha256[:16],
            )
        )  # fmt: skip
    return said
