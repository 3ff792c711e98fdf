"""The figures of docs/results.md on the 675 LIDC nodules: 5-fold by exam, and an ablation.

    python benchmarks/lidc.py DATASET OUT [--seeds 1 2 3] [--ablate 1] [--threads 1]

Trains ``recipes/lung-nodule.yaml`` on each fold seed, one run each, and judges out-of-fold
probabilities: pooled and per fold, against the area of the largest section alone, calibration
cross-fitted. The ablation leaves out the recurrent network, the image, or the concepts, on the
same folds, and compares in pairs. Writes ``lidc.json`` and ``lidc.md`` in OUT; what was trained is
kept there, so a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.acquire import open_dataset
from diaphane.core.files import write_text
from diaphane.evaluate import (
    cross_fitted_probabilities,
    evaluate_classification,
    expected_calibration_error,
    paired_bootstrap,
    perfect_ece_quantile,
)
from diaphane.learn.cases import CaseStore, read_cases, targets
from diaphane.learn.history import History
from diaphane.learn.judging import held_out
from diaphane.learn.loop import Task, fit_member
from diaphane.learn.plans import Plan
from diaphane.learn.rhythm import reproducible
from diaphane.learn.splits import Member, first_appearance, members_of, strata
from diaphane.preprocess import Recipe

ROOT = Path(__file__).parents[1]
PARTS: dict[str, dict[str, Any]] = {
    "full": {},
    "without the recurrent network": {"rnn": "none"},
    "without the image": {"use_image": False},
    "without the concepts": {"use_concepts": False},
}
Floats = NDArray[np.float64]


def main() -> None:
    """Train what is missing, then judge everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plan", type=Path, default=ROOT / "recipes" / "lung-nodule.yaml")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--ablate", type=int, nargs="*", default=[1], help="fold seeds")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    plan = Plan.read(options.plan)
    with reproducible(options.threads):
        store = read_cases(
            open_dataset(options.dataset), plan.input, Recipe.from_dict(plan.recipe),
            plan.augmentation, salt="", seed=plan.split.seed,
        )  # fmt: skip
        print(f"{len(store)} cases, {len(store.refused)} refused", flush=True)
        wanted = [(seed, "full") for seed in options.seeds]
        wanted += [(seed, part) for seed in options.ablate for part in PARTS if part != "full"]
        for seed, part in wanted:
            _out_of_fold(store, plan, seed, part, options.out)
    found = judge(store, plan, options.out, options.seeds, options.ablate)
    write_text(options.out / "lidc.json", json.dumps(found, indent=1) + "\n")
    write_text(options.out / "lidc.md", table(found))
    print(table(found))


def _out_of_fold(store: CaseStore, plan: Plan, seed: int, part: str, out: Path) -> None:
    """Train all folds of one fold seed and keep the logits."""
    path = _path(out, seed, part)
    if path.exists():
        return
    if part == "without the concepts" and plan.apart and _path(out, seed, "full").exists():
        data = json.loads(_path(out, seed, "full").read_text())
        data.update(part=part, logit=data["image"], seconds=0.0)  # it learned apart: nothing to do
        write_text(path, json.dumps(data) + "\n")
        return
    network = {**plan.network.model_dump(mode="json"), **PARTS[part]}
    split = {**plan.split.model_dump(mode="json"), "seed": seed}
    stopping = plan.stopping.model_dump(mode="json")
    decided = plan.with_changes({"network": network, "split": split, "stopping": stopping})
    target = targets(decided, store)
    members = folds_of(store, decided)
    began = time.monotonic()
    room = out / "work"
    task = Task(
        decided, store, target, torch.device("cpu"), room / "current.safetensors",
        History(room / "metrics.csv"),
    )  # fmt: skip
    for left in ("current.safetensors", "metrics.csv"):
        (room / left).unlink(missing_ok=True)
    nets = []
    for number, member in enumerate(members):
        nets.append(fit_member(task, number, member)[0])
        spent = time.monotonic() - began
        print(f"seed {seed} {part}: {number + 1}/{len(members)}, {spent:.0f} s", flush=True)
    held = held_out(nets, members, store, decided, task.device)
    data = {
        "seed": seed,
        "part": part,
        "seconds": time.monotonic() - began,
        "logit": [round(float(v), 6) for v in held.logit[:, 0]],
        "image": [round(float(v), 6) for v in held.image[:, 0]],
        "fold": [int(v) for v in _fold(members, len(store))],
    }
    write_text(path, json.dumps(data) + "\n")


def _path(out: Path, seed: int, part: str) -> Path:
    return out / f"seed{seed}-{part.replace(' ', '-')}.json"


def folds_of(store: CaseStore, plan: Plan) -> list[Member]:
    """Members of a plan over all cases of the store."""
    target = targets(plan, store).numpy()
    return members_of(
        ["train"] * len(store), strata(target[:, 0]),
        first_appearance([row.group for row in store.rows]),
        folds=plan.split.folds, fold_seed=plan.split.seed, seeds=plan.seeds,
        stopping_share=plan.stopping.share, calibration_share=plan.split.calibration_share,
    )  # fmt: skip


def _fold(members: list[Member], count: int) -> NDArray[np.int64]:
    fold = np.full(count, -1, dtype=np.int64)
    for member in members:
        fold[member.held] = member.fold
    return fold


def judge(
    store: CaseStore, plan: Plan, out: Path, seeds: list[int], ablate: list[int]
) -> dict[str, Any]:
    """All figures of the runs that are kept in ``out``."""
    labels = targets(plan, store).numpy()[:, 0].astype(np.int64)
    groups = [row.group for row in store.rows]
    names = list(plan.input.concepts)
    area = store.concepts[:, names.index("log_area")].astype(np.float64)
    found: dict[str, Any] = {
        "cases": len(store),
        "groups": len(set(groups)),
        "positive": int(labels.sum()),
        "recipe_members_per_fold": len(plan.seeds),
        "seeds": {},
        "ablation": {},
    }
    for seed in seeds:
        found["seeds"][str(seed)] = _one_seed(out, seed, labels, groups, area)
    for seed in ablate:
        full = _logit(out, seed, "full")
        rows = {}
        for part in PARTS:
            logit = _logit(out, seed, part)
            rows[part] = _against(labels, groups, full, logit, seed) if part != "full" else {}
            p = cross_fitted_probabilities(logit[:, None], labels, groups, task="binary", seed=seed)
            rows[part]["figures"] = _figures(labels, p, groups, seed, order=logit)
        found["ablation"][str(seed)] = rows
    return found


def _logit(out: Path, seed: int, part: str) -> Floats:
    data = json.loads(_path(out, seed, part).read_text())
    return np.asarray(data["logit"], dtype=np.float64)


def _one_seed(
    out: Path, seed: int, labels: NDArray[np.int64], groups: list[str], area: Floats
) -> dict[str, Any]:
    data = json.loads(_path(out, seed, "full").read_text())
    logit = np.asarray(data["logit"], dtype=np.float64)
    fold = np.asarray(data["fold"])
    p = cross_fitted_probabilities(logit[:, None], labels, groups, task="binary", seed=seed)
    base = cross_fitted_probabilities(area[:, None], labels, groups, task="binary", seed=seed)
    by_fold = []
    for k in range(int(fold.max()) + 1):
        here = fold == k
        sub = [g for g, use in zip(groups, here, strict=True) if use]
        figures = evaluate_classification(labels[here], _ranked(logit[here]), sub, seed=seed)
        by_fold.append({"n": int(here.sum()), "auc": figures.metrics["auc"].to_dict()})
    return {
        "seconds": data["seconds"],
        "figures": _figures(labels, p, groups, seed, order=logit),
        "area_only": _figures(labels, base, groups, seed, order=area),
        "folds": by_fold,
        "auc_minus_area": _against(labels, groups, logit, area, seed)["auc"],
        "brier_minus_area": paired_bootstrap(
            labels, p, base, groups, metrics=("brier",), seed=seed
        )["brier"].to_dict(),
        "ece_perfect_95": perfect_ece_quantile(p, seed=seed),
    }


def _ranked(score: Floats) -> Floats:
    """Scores as probabilities ``(n, 2)`` in the same order."""
    p = 1.0 / (1.0 + np.exp(-(score - score.mean()) / max(float(score.std()), 1e-9)))
    return np.stack([1.0 - p, p], axis=1)


def _against(
    labels: NDArray[np.int64], groups: list[str], one: Floats, other: Floats, seed: int
) -> dict[str, Any]:
    """Paired difference of AUC, first minus second."""
    found = paired_bootstrap(
        labels, _ranked(one), _ranked(other), groups, metrics=("auc",), seed=seed
    )
    return {"auc": found["auc"].to_dict()}


def _figures(
    labels: NDArray[np.int64], p: Floats, groups: list[str], seed: int, *, order: Floats
) -> dict[str, Any]:
    """Figures of cross-fitted probabilities; AUC of the scores themselves."""
    judged = evaluate_classification(labels, p, groups, seed=seed).metrics
    auc = evaluate_classification(labels, _ranked(order), groups, seed=seed).metrics["auc"]
    kept = {name: judged[name].to_dict() for name in ("brier", "ece", "calibration_slope")}
    return {"auc": auc.to_dict(), **kept, "ece_check": expected_calibration_error(labels, p[:, 1])}


def table(found: dict[str, Any]) -> str:
    """Markdown of the figures."""
    about = (
        f"LIDC: {found['cases']} nodules, {found['positive']} positive, {found['groups']} exams; "
        f"5 folds by exam, {found['recipe_members_per_fold']} network(s) a fold; "
        "95 % bootstrap intervals by exam."
    )
    columns = (
        "fold seed", "AUC pooled", "AUC per fold", "area alone", "difference",
        "ECE (perfect, 95 %)", "slope", "Brier", "Brier, area alone", "minutes",
    )  # fmt: skip
    lines = [about, "", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for seed, row in found["seeds"].items():
        own, area = row["figures"], row["area_only"]
        folds = ", ".join(f"{f['auc']['value']:.3f}" for f in row["folds"])
        lines.append(
            f"| {seed} | {_span(own['auc'])} | {folds} | {_span(area['auc'])} "
            f"| {_span(row['auc_minus_area']['difference'], sign=True)} "
            f"| {own['ece']['value']:.3f} ({row['ece_perfect_95']:.3f}) "
            f"| {own['calibration_slope']['value']:.2f} | {own['brier']['value']:.4f} "
            f"| {area['brier']['value']:.4f} | {row['seconds'] / 60:.0f} |"
        )
    for seed, rows in found["ablation"].items():
        lines += [
            "",
            f"Ablation, fold seed {seed}:",
            "",
            "| model | AUC pooled | full minus this | Brier |",
            "|---|---|---|---|",
        ]
        for part, row in rows.items():
            gap = _span(row["auc"]["difference"], sign=True) if "auc" in row else ""
            own = row["figures"]
            lines.append(f"| {part} | {_span(own['auc'])} | {gap} | {own['brier']['value']:.4f} |")
    return "\n".join(lines) + "\n"


def _span(figure: dict[str, Any], *, sign: bool = False) -> str:
    style = "+.3f" if sign else ".3f"
    return (
        f"{format(figure['value'], style)} ({format(figure['low'], style)} to "
        f"{format(figure['high'], style)})"
    )


if __name__ == "__main__":
    main()
