"""What would make a model look better than it is: sentences that are said before training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diaphane.learn.duplicates import Twin, join_groups
from diaphane.learn.facts import Fingerprint

if TYPE_CHECKING:
    from diaphane.acquire import Dataset

LEAK = 0.99
"""AUC above which a concept alone is likely to be the label in other words."""
_SHOWN = 3
_MOST = 0.1
"""Largest share of all cases in a group made of near-duplicates."""


def warnings(facts: Fingerprint) -> list[str]:
    """What to say about duplicates, concepts, groups and splits of a dataset.

    Cases appear under their pseudonyms; ``planning.named`` puts the user's own names in.
    """
    said = []
    for found, what, so in (
        (facts.duplicates, "hold the same image", "one of each is wrong"),
        (facts.near_duplicates, "hold nearly the same image", "one of each may be wrong"),
    ):
        said += _of_pairs(found, (what, so))
    for name, area in facts.concept_auc.items():
        if area > LEAK:
            said.append(
                f"warning: the concept '{name}' alone gives an AUC of {area:.3f}: probably a leak, "
                "the label in other words. Do not name it with --concept unless it is known before "
                "the image is read."
            )
    if not facts.grouped:
        said.append(
            "warning: the dataset says neither groups nor patients, so each case counts as a "
            "patient of its own. If a patient has several cases they may fall on both sides of a "
            "split, and the figures come out too good; add a 'group' column, or make groups from "
            "names with --group-regex."
        )
    said += _of_splits(facts)
    if facts.segmentation is None and 0 < facts.masked < facts.cases:
        said.append(
            f"note: {facts.cases - facts.masked} of {facts.cases} cases have no mask, or an empty "
            "one, so masks are not looked at; leave these cases out to crop to the masks."
        )
    if facts.one_hot:
        said.append(
            f"warning: each case has just one of the {len(facts.classes)} labels, as if they were "
            "classes of one label; they are learnt one by one. Classes go into one column 'label'."
        )
    return said


def keep_together(dataset: Dataset, path: Path) -> Dataset:
    """The dataset with one group for cases that hold (nearly) the same image, as a run found them.

    Only cases of one split are joined, so that no group crosses the dataset's own splits. Nearly
    the same ones stay apart where joining them would make a group too large to be held back.

    Parameters
    ----------
    path:
        The run's ``fingerprint.json``; without it the dataset stays as it is.
    """
    if not path.is_file():
        return dataset
    known = json.loads(path.read_text(encoding="utf-8"))
    places = {entry.key: place for place, entry in enumerate(dataset.entries)}
    own = [entry.group for entry in dataset.entries]
    keys = [entry.key for entry in dataset.entries]
    same, near = (
        [
            (places[twin["one"]], places[twin["other"]])
            for twin in known[kind]
            if twin["one"] in places
            and twin["other"] in places
            and twin["splits"][0] == twin["splits"][1]
        ]
        for kind in ("duplicates", "near_duplicates")
    )
    groups = join_groups(own, keys, same + near)
    if _largest(groups) > max(2 * _largest(own), _MOST * len(own), 4):
        groups = join_groups(own, keys, same)
    entries = (
        entry if entry.group == group else replace(entry, group=group)
        for entry, group in zip(dataset.entries, groups, strict=True)
    )
    return replace(dataset, entries=tuple(entries))


def _largest(groups: Sequence[str]) -> int:
    return max(Counter(groups).values(), default=0)


def _of_pairs(pairs: Sequence[Twin], words: tuple[str, str]) -> list[str]:
    what, so = words

    def shown(chosen: Sequence[Twin]) -> str:
        parts = [f"{t.one} and {t.other}" for t in chosen[:_SHOWN]]
        more = f"; {len(chosen) - _SHOWN} more in fingerprint.json" if len(chosen) > _SHOWN else ""
        return "; ".join(parts) + more

    said = []
    conflicting = [t for t in pairs if not t.same_label]
    if conflicting:
        said.append(
            f"warning: {_pairs(conflicting)} {what} under different labels, so {so}: "
            f"{shown(conflicting)}."
        )
    crossing = [t for t in pairs if t.crosses]
    if crossing:
        said.append(
            f"warning: {_pairs(crossing)} {what} in different splits, so figures come out too "
            f"good: {shown(crossing)}. The dataset's own splits are kept."
        )
    apart = [t for t in pairs if not t.same_group and not t.crosses]
    if apart:
        said.append(
            f"note: {_pairs(apart)} {what} in different groups: {shown(apart)}. They are kept on "
            "one side of what is drawn, a split or a fold."
        )
    return said


def _pairs(found: Sequence[Twin]) -> str:
    return "1 pair of cases" if len(found) == 1 else f"{len(found)} pairs of cases"


def _of_splits(facts: Fingerprint) -> list[str]:
    """Classes that a split of the dataset lacks, and classes with very few groups."""
    said = []
    for column, classes in facts.classes.items():
        for value in classes:
            lacking = [s for s, found in facts.split_classes.items() if value not in found[column]]
            if "train" in lacking:
                said.append(
                    f"warning: no case for training has '{value}' in '{column}', so it cannot be "
                    "learnt."
                )
            elif lacking:
                said.append(
                    f"warning: the class '{value}' of '{column}' is not in {', '.join(lacking)}, "
                    "so nothing is measured on it there."
                )
            few = facts.class_groups[column][value]
            if few < 3 and not facts.splits:
                cases = "case" if not facts.grouped else "group"
                said.append(
                    f"warning: the class '{value}' of '{column}' has {few} "
                    f"{cases}{'' if few == 1 else 's'}; it is learnt from and cannot be tested."
                )
    return said
