"""Sentences of the methods paragraph about the network and how it was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from diaphane.report.language import Language
from diaphane.report.run_facts import RunFacts
from diaphane.report.study import interval_words

Sentences = list[str]


def network_sentences(plan: Mapping[str, Any], facts: RunFacts, lang: Language) -> Sentences:
    """Architecture, size, ensemble."""
    network = plan.get("network") or {}
    if not network:
        return []
    if plan.get("task") == "segmentation":
        said = _segmenter(plan, network, lang)
    else:
        said = _classifier(plan, network, lang)
    engine = facts.engine
    if engine.networks > 1:
        said.append(
            lang.text(
                "The model averaged the logits of %(n)s such networks.",
                n=lang.number(engine.networks),
            )
            if plan.get("task") != "segmentation"
            else lang.text(
                "The model averaged the outputs of %(n)s such networks.",
                n=lang.number(engine.networks),
            )
        )
    if engine.parameters:
        said.append(
            lang.text(
                "It had %(n)s parameters in total.", n=lang.number(engine.parameters)
            )
        )  # fmt: skip
    views = [v for v in plan.get("views") or () if v != "as_is"]
    if views:
        said.append(
            lang.text(
                "At test time each network also saw the case %(views)s, and the logits were averaged.",
                views=lang.text(", ").join(lang.say("view", str(v)) for v in views),
            )
        )
    return said


def _classifier(plan: Mapping[str, Any], network: Mapping[str, Any], lang: Language) -> Sentences:
    spec = plan.get("input") or {}
    said = []
    if network.get("use_image", True):
        widths = _series(network.get("widths"), lang)
        three = network.get("encoder") == "3d"
        said.append(
            lang.text(
                "A three-dimensional convolutional encoder (channels %(widths)s) gave features "
                "at every place of every slice.",
                widths=widths,
            )
            if three
            else lang.text(
                "A two-dimensional convolutional encoder (channels %(widths)s) gave features at "
                "every place of each image.",
                widths=widths,
            )
        )
        rnn = str(network.get("rnn", "none"))
        if rnn != "none":
            rows = network.get("sequence") == "rows" or spec.get("kind") == "image"
            kind = {"gru": "GRU", "lstm": "LSTM"}.get(rnn, rnn)
            hidden = lang.number(int(network.get("hidden") or 0))
            said.append(
                lang.text(
                    "A bidirectional %(kind)s of %(hidden)s units read the rows of the feature "
                    "map as a sequence.",
                    kind=kind, hidden=hidden,
                )
                if rows
                else lang.text(
                    "A bidirectional %(kind)s of %(hidden)s units read the slices as a sequence.",
                    kind=kind, hidden=hidden,
                )
            )  # fmt: skip
        attends = spec.get("kind") == "sequence" or rnn != "none"
        said.append(
            lang.text(
                "The score of a class was the sum of a bias and of the contributions of all "
                "places, weighted by attention, so that the evidence shown adds up to the score."
            )
            if attends
            else lang.text(
                "The score of a class was the sum of a bias and of the contributions of all "
                "places, so that the evidence shown adds up to the score."
            )
        )
    names = [*(spec.get("concepts") or ()), *(spec.get("given_concepts") or ())]
    if names and network.get("use_concepts", True):
        said.append(
            lang.text(
                "Concepts that a reader can check (%(names)s) were added to it, each through a "
                "piecewise linear shape function.",
                names=lang.text(", ").join(
                    within(lang.say("concept", str(name)), lang) for name in names
                ),
            )
        )
    return said


def _segmenter(plan: Mapping[str, Any], network: Mapping[str, Any], lang: Language) -> Sentences:
    kind = str(network.get("kind", ""))
    said = [
        lang.text(
            "The network was %(kind)s with %(widths)s channels by level.",
            kind=lang.say("network", kind), widths=_series(network.get("widths"), lang),
        )
    ]  # fmt: skip
    depth = int(network.get("deep_supervision") or 0)
    if depth:
        said.append(
            lang.count(
                "%(n)s coarser level had a loss of its own (deep supervision).",
                "%(n)s coarser levels had losses of their own (deep supervision).",
                depth,
            )
        )
    patch = plan.get("patch")
    if patch:
        size = " × ".join(lang.number(n) for n in reversed(patch) if n > 1)
        said.append(
            lang.text(
                "It went over an image in patches of %(size)s voxels that overlap by %(overlap)s, "
                "weighted by a Gaussian.",
                size=size, overlap=lang.percent(float(plan.get("overlap") or 0)),
            )
        )  # fmt: skip
    if plan.get("mirror"):
        said.append(
            lang.text(
                "Each patch was also shown mirrored (%(axes)s), and the outputs were averaged.",
                axes=_series(plan["mirror"], lang),
            )
        )
    return said


def training_sentences(plan: Mapping[str, Any], facts: RunFacts, lang: Language) -> Sentences:
    """How weights came about: families, start, optimiser, schedule, augmentation."""
    if not plan.get("optimiser"):
        return []
    said = _families(facts, lang)
    encoder = plan.get("encoder") if isinstance(plan.get("encoder"), (str, Mapping)) else None
    said.append(
        lang.text("The encoder started from weights that were learned without labels.")
        if encoder
        else lang.text("Weights were drawn at random at the start.")
    )
    said += _optimiser(plan, facts, lang)
    said += _augmentation(plan.get("augmentation") or {}, lang)
    said += _budget(facts, lang)
    return said


def _families(facts: RunFacts, lang: Language) -> Sentences:
    families = facts.planning.families
    chosen = next((f for f in families if f.chosen), None)
    if chosen is None or len(families) < 2:
        return []
    metric = within(lang.say("metric", facts.planning.family_metric), lang)
    rows = lang.semicolon.join(
        f"{lang.say('family', f.name)} {interval_words(f.value, lang)}".strip() for f in families
    )
    return [
        lang.text(
            "Among %(n)s kinds of network, cross-validation within the training cases chose "
            "“%(chosen)s” (%(metric)s: %(rows)s).",
            n=lang.number(len(families)), chosen=lang.say("family", chosen.name), metric=metric,
            rows=rows,
        )
    ]  # fmt: skip


def _optimiser(plan: Mapping[str, Any], facts: RunFacts, lang: Language) -> Sentences:
    how = plan["optimiser"]
    said = [
        lang.text(
            "AdamW (learning rate %(rate)s, weight decay %(decay)s) minimised the loss in batches "
            "of %(batch)s.",
            rate=_small(how.get("learning_rate")), decay=_small(how.get("weight_decay")),
            batch=lang.number(int(plan.get("batch") or 1)),
        )
    ]  # fmt: skip
    steps = plan.get("steps") or facts.planning.steps
    if steps:
        early = facts.planning.annealed_early_at is not None
        planned = lang.number(int(steps))
        said.append(
            lang.text("Training was planned for %(steps)s steps per network.", steps=planned)
            if early
            else lang.text("Training took %(steps)s steps per network.", steps=planned)
        )
    elif plan.get("epochs"):
        said.append(
            lang.text(
                "Training took at most %(epochs)s epochs.", epochs=lang.number(int(plan["epochs"]))
            )
        )
    said.append(
        lang.text(
            "The learning rate rose over the first %(warmup)s of the steps and then fell along a "
            "cosine; gradients were clipped at a norm of %(clip)s; the weights kept were an "
            "exponential moving average (decay %(ema)s).",
            warmup=lang.percent(float(how.get("warmup") or 0)),
            clip=lang.significant(float(how.get("clip") or 0)),
            ema=lang.significant(float(how.get("ema") or 0)),
        )
    )
    said += _loss(plan, how, lang)
    patience = (plan.get("stopping") or {}).get("patience")
    if patience and (plan.get("stopping") or {}).get("share"):
        said.append(
            lang.text(
                "The epoch with the smallest loss on the cases set aside was kept, and training "
                "ended after %(patience)s epochs without a smaller one.",
                patience=lang.number(int(patience)),
            )
        )
    return said


def _loss(plan: Mapping[str, Any], how: Mapping[str, Any], lang: Language) -> Sentences:
    if plan.get("task") == "segmentation":
        return [
            lang.text(
                "The loss was Dice (%(share)s) plus cross-entropy, and %(foreground)s of the "
                "patches were centred on a labelled voxel.",
                share=lang.percent(float(how.get("dice_share") or 0)),
                foreground=lang.percent(float(plan.get("foreground") or 0)),
            )
        ]
    said = [
        lang.text(
            "The loss was cross-entropy with labels smoothed by %(smoothing)s.",
            smoothing=lang.significant(float(plan.get("smoothing") or 0)),
        )
        if plan.get("smoothing")
        else lang.text("The loss was cross-entropy.")
    ]
    if plan.get("imbalance") == "weights":
        said.append(lang.text("Rare classes counted more in the loss."))
    if plan.get("mixup"):
        said.append(
            lang.text(
                "Pairs of cases were mixed (mixup, %(mixup)s).",
                mixup=lang.significant(float(plan["mixup"])),
            )
        )
    return said


def _augmentation(how: Mapping[str, Any], lang: Language) -> Sentences:
    """Every change that is switched on."""
    done = []
    for key, value in how.items():
        if key in ("versions", "plain", "share") or not value:
            continue
        values: dict[str, Any] = {"size": value}
        if key in ("scale", "stretch"):  # kept as a logarithm
            values["percent"] = lang.percent(math.exp(float(value)) - 1.0)
        elif key == "gamma":
            values |= {"low": math.exp(-float(value)), "high": math.exp(float(value))}
        if lang.knows("augmentation", key):
            done.append(lang.say("augmentation", key, values))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            done.append(f"{key.replace('_', ' ')} {lang.significant(float(value))}")
        elif value is True:
            done.append(key.replace("_", " "))
    if not done:
        return [lang.text("Training images were not changed at random.")]
    return [
        lang.text(
            "In training, images were changed at random: %(changes)s.",
            changes=lang.semicolon.join(done),
        )
    ]


def _budget(facts: RunFacts, lang: Language) -> Sentences:
    planning = facts.planning
    said = []
    if planning.budget:
        said.append(
            lang.text(
                "The number of steps was fitted to a time budget of %(time)s before the first "
                "step.",
                time=duration(planning.budget, lang),
            )
        )
    if planning.annealed_early_at is not None:
        said.append(annealed_early(planning.annealed_early_at, lang))
    return said


def _series(values: Any, lang: Language) -> str:
    return lang.text(", ").join(lang.value(v) for v in values or ())


def _small(value: Any) -> str:
    return f"{float(value):g}" if isinstance(value, (int, float)) else "–"


def annealed_early(step: int, lang: Language) -> str:
    """That a deadline brought training to its end."""
    return lang.text(
        "As the deadline neared, the final fall of the learning rate began early, at step "
        "%(step)s.",
        step=lang.number(step),
    )


def duration(seconds: float, lang: Language) -> str:
    """Seconds up to two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{lang.number(seconds)} s"
    if seconds < 7200:
        return f"{lang.number(seconds / 60, 1)} min"
    return f"{lang.number(seconds / 3600, 1)} h"


_NAMES = ("Brier", "Dice", "Hausdorff")


def within(words: str, lang: Language) -> str:
    """A label as it stands inside a sentence: small, unless it begins with a name or letters."""
    if lang.code != "en" or words.startswith(_NAMES) or not words[1:2].islower():
        return words
    return words[:1].lower() + words[1:]
