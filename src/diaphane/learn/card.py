"""The model card of a classification bundle; parts of any card, and the licence text."""

from __future__ import annotations

from diaphane.bundle import Manifest
from diaphane.bundle.manifest import BundleFacts

_SPLITS = {
    "out_of_fold": "out of fold, by networks that never saw the case's group; calibration is "
    "cross-fitted",
    "calibration": "on the part held out for calibration, cross-fitted",
    "test": "on cases that took no part in training, stopping or calibration",
    "val": "on the data set's 'val' cases, which took no part in training, stopping or calibration",
}

_LIMITS = """\
## Limits

- The figures hold for cases like those it was trained on. Inputs unlike them are flagged
  (`unlike_training`): distance of features and range of concepts, limit at the 98th percentile of
  cases out of fold.
- Networks of one run share training cases; the bundle averages them, while figures out of fold
  are of the networks that did not see the case.
- Maps are contributions given the rest of the study, not causes.
- Whether each part earns its place is measured by an ablation: `docs/results.md` of the project,
  for bundles that ship with it.
"""


def model_card(manifest: Manifest) -> str:
    """Markdown card: what it is for, made of, worth, and where it ends."""
    m = manifest
    lines = [
        *opening(m),
        "## What it answers",
        "",
        f"- Task: {m.task}; classes: {', '.join(m.classes)}"
        + (f"; every sensitivity is for **{m.positive}**." if m.positive else "."),
        f"- Input: {_input(m)}",
        _network(m),
        "",
        *data_and_licence(m),
        "",
        *figures(m, _measured(m)),
        "",
        *_calibration(m),
        *_faithfulness(m),
        _LIMITS,
    ]
    return "\n".join(lines)


def opening(m: BundleFacts) -> list[str]:
    """Lines of any card: the bundle and its intended use."""
    return [
        f"# {m.title}",
        "",
        f"Bundle `{m.name}`, version {m.version}. Made by diaphane {m.made_by.get('diaphane', '?')}.",
        "",
        "**Not a medical device. For research only.**",
        "",
        "## Intended use",
        "",
        m.intended_use or "Not stated.",
        "",
    ]


def data_and_licence(m: BundleFacts) -> list[str]:
    """Lines of any card: what it was made of."""
    cases = {
        "training": len(m.seen.train),
        "calibration": len(m.seen.val) + len(m.seen.calibration),
        "held back for the figures": len(m.seen.test),
    }
    return [
        "## Data and licence",
        "",
        *(
            f"- {source.name}. Licence: {source.licence}. {source.citation} {source.url}".rstrip()
            for source in m.sources
        ),
        *([] if m.sources else ["- The user's own data; licence not stated."]),
        "- Cases: " + (", ".join(f"{n} {name}" for name, n in cases.items() if n) or "none") + ".",
        f"- Licence of the weights: {m.licence}.",
    ]


def figures(m: BundleFacts, measured: str) -> list[str]:
    """Lines of any card: how it was measured, and the figures as a table."""
    lines = ["## Figures", ""]
    if not m.metrics:
        return [*lines, "No held-out case could be scored."]
    lines += [measured, "", "| figure | value | 95 % interval |", "|---|---|---|"]
    for name, figure in m.metrics.items():
        between = "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"
        value = "undefined" if figure.value is None else f"{figure.value:.3f}"
        lines.append(f"| {name} | {value} | {between} |")
    return lines


def licence_text(m: BundleFacts) -> str:
    """Text of ``LICENSE``: the weights' licence and the attribution that the data ask for."""
    lines = [f"Bundle {m.name}, version {m.version}", "", f"Licence: {m.licence}", ""]
    if m.sources:
        lines.append("The weights are derived from these data; keep this attribution with them:")
    for source in m.sources:
        lines += ["", f"{source.name}", f"Licence of the data: {source.licence}"]
        lines += [text for text in (source.citation, source.url) if text]
    return "\n".join(lines) + "\n"


def _input(m: Manifest) -> str:
    what = f"slices (at most {m.input.max_slices})" if m.input.kind == "sequence" else "one image"
    mask = {
        "none": "whole images",
        "foreground": "outlined (black outside)",
        "given": "with a mask of what is judged",
    }[m.input.mask]
    concepts = ", ".join(m.input.concept_names)
    text = f"{what} of {m.input.size[0]} x {m.input.size[1]} pixels, {mask}"
    return text + (f"; concepts: {concepts}." if concepts else ".")


def _network(m: Manifest) -> str:
    how = m.model.get("network")
    how = how if isinstance(how, dict) else {}
    encoder = "3-D CNN" if how.get("encoder") == "3d" else "CNN"
    kind = encoder if how.get("rnn") == "none" else f"{encoder}-RNN"
    return (
        f"- Network: {m.model.get('members')} evidence {kind}(s) whose logits are averaged, "
        f"{m.model.get('parameters')} parameters together. The contributions of places, slices "
        "and concepts add up to the logit, given context and attention."
    )


def _measured(m: Manifest) -> str:
    about = m.metrics_about
    if about.get("n") is None:
        return "Nothing was measured: the cases left for testing are all of one class."
    return (
        f"Measured {_SPLITS.get(str(about.get('split')), '')}: n = {about.get('n')}, "
        f"{about.get('groups')} groups, seed {about.get('seed')}, 95 % bootstrap intervals by "
        f"group ({about.get('rounds')} rounds)."
    )


def _calibration(m: Manifest) -> list[str]:
    lines = ["## Calibration", ""]
    slope, perfect = m.metrics_about.get("calibration_slope"), m.metrics_about.get("ece_perfect_95")
    if isinstance(perfect, float):
        lines.append(
            f"- A perfectly calibrated model of this n stays under a calibration error of "
            f"{perfect:.3f} in 95 % of draws."
        )
    if isinstance(slope, float):
        lines.append(f"- Calibration slope {slope:.2f} (1 is perfect).")
    if m.prediction_sets is not None:
        sets = m.prediction_sets
        lines.append(
            f"- Prediction sets aim at {sets.level:.0%}; empirical coverage {sets.coverage:.1%}, "
            f"mean size {sets.mean_size:.2f}. Measured, not guaranteed."
        )
    lines += [
        f"- Operating point {p.name}: probability {p.threshold:.3f}, sensitivity "
        f"{p.sensitivity:.3f}, specificity {p.specificity:.3f}."
        for p in m.operating_points
    ]
    return [*lines, ""]


def _faithfulness(m: Manifest) -> list[str]:
    lines = ["## Are the explanations faithful?", ""]
    figures = m.faithfulness
    if not figures:
        return [*lines, "Not tested.", ""]
    lines.append(f"On {figures.get('cases')} cases:")
    names = {
        "deletion": "deletion of the strongest places (mean grey instead), gain over random order "
        "in logits",
        "insertion": "insertion of the strongest places into mean grey, gain over random order",
        "deletion_background": "deletion with the background instead (holes, which training never "
        "showed), gain over random order",
        "insertion_background": "insertion into the background, gain over random order",
        "randomised_weights": "rank correlation with maps of random weights (near 0 is right)",
        "inside_mask": "share of absolute contribution inside the mask",
    }
    for key, text in names.items():
        figure = figures.get(key)
        if isinstance(figure, dict) and isinstance(figure.get("value"), float):
            lines.append(
                f"- {text}: {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
            )
    gap = figures.get("adds_up")
    if isinstance(gap, float):
        lines.append(f"- largest gap between the logit and the sum of its parts: {gap:.1e}")
    return [*lines, ""]
