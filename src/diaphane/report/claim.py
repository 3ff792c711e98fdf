"""The CLAIM checklist of a run: what it can fill, and what only the authors know.

Source: Mongan et al., Radiol Artif Intell 2020;2(2):e200029; items numbered as in the 2024
update, Tejani et al., Radiol Artif Intell 2024;6(4):e240300. Items are named in our own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diaphane.report.language import Language
from diaphane.report.messages import mark
from diaphane.report.methods_data import Told
from diaphane.report.study import interval_words

FILLED, PARTLY, AUTHORS = "filled", "partly", "authors"

ITEMS: tuple[tuple[int, str], ...] = (
    (1, mark("Title names the study as one of artificial intelligence, and the technique")),
    (2, mark("Abstract: design, methods, results, conclusions")),
    (3, mark("Background, intended use and clinical role")),
    (4, mark("Aims and hypotheses")),
    (5, mark("Prospective or retrospective")),
    (6, mark("Goal of the study")),
    (7, mark("Sources of the data")),
    (8, mark("Who was included and excluded")),
    (9, mark("Preprocessing")),
    (10, mark("Which part of the data was used")),
    (11, mark("De-identification")),
    (12, mark("Missing data")),
    (13, mark("How images were acquired")),
    (14, mark("How the reference standard was obtained")),
    (15, mark("Why this reference standard")),
    (16, mark("Who annotated, with what qualification")),
    (17, mark("Annotation of the test set")),
    (18, mark("Agreement between and within readers")),
    (19, mark("How cases were assigned to partitions")),
    (20, mark("Level at which partitions are disjoint")),
    (21, mark("Intended sample size")),
    (22, mark("Description of the model")),
    (23, mark("Software and versions")),
    (24, mark("Start of the parameters")),
    (25, mark("Training")),
    (26, mark("How the final model was selected")),
    (27, mark("Ensembling")),
    (28, mark("Performance metrics")),
    (29, mark("Uncertainty and significance")),
    (30, mark("Robustness")),
    (31, mark("Explainability")),
    (32, mark("Evaluation on internal data")),
    (33, mark("Test on external data")),
    (34, mark("Trial registration")),
    (35, mark("Numbers included and excluded")),
    (36, mark("Demographic and clinical characteristics by partition")),
    (37, mark("Performance with its uncertainty")),
    (38, mark("Diagnostic performance and its precision")),
    (39, mark("Analysis of failures")),
    (40, mark("Limitations")),
    (41, mark("Implications for practice")),
    (42, mark("Protocol or further technical details")),
    (43, mark("Availability of software, model and data")),
    (44, mark("Funding and the funders' role")),
)

Fill = tuple[str, str]


def claim_rows(
    told: Told, parts: Sequence[tuple[str, str]], lang: Language
) -> list[dict[str, Any]]:
    """Each item with its number, its name, its state and what this run says of it.

    ``parts`` is the methods paragraph, as ``methods`` gives it.
    """
    fills = _fills(told, parts, lang)
    unknown = lang.text("to be filled by the authors")
    rows = []
    for number, item in ITEMS:
        state, said = fills.get(number, (AUTHORS, ""))
        rows.append(
            {
                "number": number,
                "item": lang.text(item),
                "state": state,
                "said": said,
                "rest": "" if state == FILLED else unknown,
            }
        )
    return rows


def _fills(told: Told, parts: Sequence[tuple[str, str]], lang: Language) -> dict[int, Fill]:
    text = lang.text
    material, planning, engine = told.facts.material, told.facts.planning, told.facts.engine
    plan, e = told.plan, told.evaluation
    measured = e is not None and bool(e.n)

    def see(part: str) -> str:
        return text("Methods, “%(part)s”", part=part.rstrip(".。"))

    fills: dict[int, Fill] = {
        11: (
            PARTLY,
            text("This run holds keyed pseudonyms only; what was done to the source is not known."),
        ),
        40: (PARTLY, text("Limits of the figures stand on the model card.")),
        42: (PARTLY, text("plan.yaml and run.json of this run")),
    }
    written = {heading for heading, _ in parts}
    for heading, numbers in (
        (text("Preprocessing."), (9,)),
        (text("Partitions."), (19,)),
        (text("Model."), (22,)),
        (text("Training."), (24, 25, 26)),
    ):
        if heading in written:
            fills |= dict.fromkeys(numbers, (FILLED, see(heading)))
    if text("Model.") in written:
        fills[1] = (PARTLY, text("Deep learning; see the methods, “Model”"))
    if plan.get("intended_use"):
        fills[3] = (PARTLY, text("Intended use: %(use)s", use=str(plan["intended_use"])))
    if material.sources:
        fills[7] = (FILLED, see(text("Data.")))
    if material.cases:
        refused = sum(material.refused.values())
        included = text(
            "%(cases)s cases of %(groups)s groups included, %(refused)s refused as unreadable",
            cases=lang.number(material.cases), groups=lang.number(material.groups),
            refused=lang.number(refused),
        )  # fmt: skip
        fills[35] = (FILLED if material.grouped else PARTLY, included)
        fills[8] = (PARTLY, text("Cases that could not be read or prepared were excluded."))
        fills[10] = (PARTLY, text("Every case that could be read was used."))
        fills[20] = (
            (FILLED, text("Group (patient)"))
            if material.grouped
            else (PARTLY, text("Case; the data set does not identify patients"))
        )
        if material.size is not None or material.modality:
            fills[13] = (PARTLY, see(text("Data.")))
    if material.cases and not told.segmentation:
        fills[12] = (PARTLY, _missing(told, lang))
    if text("Model.") in written and not told.segmentation:
        faithful = text(
            "Contributions of places, slices and concepts that add up to the score; tested for "
            "faithfulness above"
        )
        fills[31] = (FILLED, faithful)
    if engine.versions:
        fills[23] = (FILLED, see(text("Software.")))
    if text("Model.") in written:
        averaged = text("Outputs of %(n)s networks are averaged", n=lang.number(engine.networks))
        fills[27] = (FILLED, averaged if engine.networks > 1 else text("None: one network"))
    if measured:
        assert e is not None
        fills[28] = fills[32] = fills[37] = (FILLED, text("Figures, above"))
        fills[29] = (FILLED, see(text("Evaluation.")))
        fills[39] = (
            PARTLY,
            text("The worst cases are shown above; why they failed is for readers."),
        )
        pair = [
            f"{lang.say('metric', name)} {interval_words(e.metrics[name], lang)}"
            for name in ("sensitivity", "specificity")
            if name in e.metrics and e.metrics[name].value is not None
        ]
        fills[38] = (
            (FILLED, lang.semicolon.join(pair)) if pair else (FILLED, text("Figures, above"))
        )
        if e.subgroups:
            fills[36] = (PARTLY, text("Subgroups, above"))
            fills[30] = (PARTLY, text("Subgroups, above"))
    fills[33] = (AUTHORS, text("None in this run: diaphane evaluate BUNDLE DATASET"))
    if told.bundle is not None:
        software = text(
            "Software: diaphane, open source. Model: SHA-256 %(hash)s…, licence %(licence)s",
            hash=told.bundle.sha256[:16], licence=str(plan.get("licence") or "not stated"),
        )  # fmt: skip
        fills[43] = (PARTLY, software)
    if planning.said and 40 in fills:
        fills[40] = (PARTLY, text("The planner's warnings above; the model card"))
    return fills


def _missing(told: Told, lang: Language) -> str:
    spec = told.plan.get("input") or {}
    said = lang.text("Cases without a label took no part.")
    if spec.get("given_concepts"):
        said += lang.gap + lang.text(
            "A missing tabulated value contributes as the training mean does."
        )
    return said
