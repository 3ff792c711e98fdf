"""The methods paragraph of a run, as a paper would print it.

Each part says only what the run knows; what it cannot know (how patients were recruited, who
read the images) is left to the checklist.
"""

from __future__ import annotations

from collections.abc import Sequence

from diaphane.core.evaluation import Evaluation
from diaphane.report.evaluation import metric_words
from diaphane.report.language import Language
from diaphane.report.methods_data import (
    Told,
    data_sentences,
    preprocessing_sentences,
    split_sentences,
)
from diaphane.report.methods_network import (
    duration,
    network_sentences,
    training_sentences,
    within,
)
from diaphane.report.study import interval_words

Sentences = list[str]
FIGURES = (
    "auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier", "ece", "dice",
    "hd95",
)  # fmt: skip
"""Figures that the paragraph states, as far as they were measured."""


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
    said = [_who_was_judged(told, e, lang)]
    if settings.get("cross_fitted") or told.calibration.get("cross_fitted"):
        said.append(
            lang.text(
                "Calibration was cross-fitted: no case was judged by a calibration that had "
                "seen it."
            )
        )
    figures = [
        f"{within(metric_words(name, lang), lang)} {words}"
        for name, figure in e.metrics.items()
        if name.partition(":")[0] in FIGURES
        and (told.segmentation or ":" not in name)
        and (words := interval_words(figure, lang))
    ]
    if figures:
        said.append(
            lang.text("Results with intervals: %(figures)s.", figures=lang.semicolon.join(figures)),
        )
    rounds = settings.get("rounds") or told.calibration.get("rounds")
    level = settings.get("level") or 0.95
    if isinstance(rounds, int):
        said.append(
            lang.text(
                "Intervals are %(level)s percentile bootstrap intervals over patients (%(rounds)s "
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


def _who_was_judged(told: Told, e: Evaluation, lang: Language) -> str:
    n, groups = lang.number(e.n), lang.number(e.groups)
    grouped = told.facts.material.grouped
    if e.split == "out_of_fold":
        return (
            lang.text(
                "Each of %(n)s cases of %(groups)s patients was judged by networks that had not "
                "seen the patient.",
                n=n, groups=groups,
            )
            if grouped
            else lang.text(
                "Each of %(n)s cases was judged by networks that had not seen it.", n=n
            )
        )  # fmt: skip
    split = lang.say("split", e.split)
    return (
        lang.text(
            "Figures are of %(n)s cases of %(groups)s patients (%(split)s) that took no part in "
            "training.",
            n=n, groups=groups, split=split,
        )
        if grouped
        else lang.text(
            "Figures are of %(n)s cases (%(split)s) that took no part in training.",
            n=n, split=split,
        )
    )  # fmt: skip


def software_sentences(told: Told, lang: Language) -> Sentences:
    """Versions, machine, seed, and the hash of what came out."""
    engine, planning = told.facts.engine, told.facts.planning
    said = []
    versions: Sequence[str] = [f"{name} {version}" for name, version in engine.versions.items()]
    if versions:
        said.append(
            lang.text("The software was %(versions)s.", versions=lang.text(", ").join(versions))
        )
    where = [part for part in (engine.processor, engine.system) if part]
    if versions and where:
        if engine.threads:
            where.append(
                lang.count("%(n)s compute thread", "%(n)s compute threads", engine.threads)
            )
        said.append(
            lang.text(
                "It ran on a %(device)s (%(machine)s).",
                device={"cpu": "CPU", "cuda": "GPU"}.get(engine.device, engine.device),
                machine=lang.semicolon.join(where),
            )
        )
    if planning.seconds:
        said.append(
            lang.text("The run took %(time)s.", time=duration(planning.seconds, lang)),
        )
    said.append(lang.text("The seed of all randomness was %(seed)s.", seed=str(engine.seed)))
    if told.bundle is not None:
        said.append(
            lang.text(
                "The trained model is the bundle “%(name)s”, version %(version)s (SHA-256 %(hash)s…).",
                name=told.bundle.name, version=told.bundle.version,
                hash=told.bundle.sha256[:16],
            )
        )  # fmt: skip
    return said
