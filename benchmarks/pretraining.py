"""What images without labels give: a learning curve, and which cases to label next.

    python benchmarks/pretraining.py DATASET OUT [--positive 0] [--size 28] [--folds 4] [--draws 2]
        [--shares 0.1 0.25 1] [--steps 120] [--pretraining 250] [--method masked] [--select]

Only the train part of DATASET is read. It is cut into folds; for each one the encoder learns from
the other folds' images without labels, and networks learn from a share of their labels, once from
a random start and once from the encoder, same draw, same seed, same steps. AUC on the fold left
out, paired; the interval resamples held-out cases. With ``--select`` networks learn from a tenth of
the labels, then from as many more: those that ``select`` chooses, against a random draw.

The network is fixed here (widths 32, 64, 96; no recurrent network), so that the figure does not
move with the planner's defaults. Each piece is kept in OUT, so a stopped benchmark goes on where it
was. Writes ``pretraining.json`` there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diaphane.acquire import open_dataset
from diaphane.batch.selecting import rank, uncertainty
from diaphane.core.decision import Calibration
from diaphane.core.files import write_text
from diaphane.learn.budget import Budget
from diaphane.learn.cases import CaseStore, read_cases, targets
from diaphane.learn.loop import Task, fit_member
from diaphane.learn.plans import EncoderRef, Plan
from diaphane.learn.predicting import Outputs, predict
from diaphane.learn.pretraining import PretrainOptions, learn_encoder
from diaphane.learn.rhythm import reproducible
from diaphane.learn.splits import Member, first_appearance, grouped_folds, strata
from diaphane.preprocess import Recipe

FOLD_SEED = 7
Index = NDArray[np.int64]
Weights = Mapping[str, torch.Tensor]


def main() -> None:
    """Measure what is missing, then sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--positive", default="0")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--first", type=int, default=4, help="folds that are measured")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.1, 0.25, 1.0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pretraining", type=int, default=250)
    parser.add_argument("--method", choices=("masked", "agreement"), default="masked")
    parser.add_argument("--select", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with reproducible(1):
        bench = _Bench(options)
        for fold in range(min(options.first, options.folds)):
            if options.select:
                bench.selection(fold)
            else:
                bench.curve(fold)
            found = summary(bench, options)
            name = "selecting" if options.select else "pretraining"
            write_text(options.out / f"{name}.json", json.dumps(found, indent=1) + "\n")
            print(json.dumps(found["rows"], indent=1), flush=True)


class _Bench:
    """Cases, folds, and networks trained on parts of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        opened = open_dataset(options.dataset)
        positive = options.positive
        entries = tuple(
            replace(e, labels={"label": positive if e.labels["label"] == positive else "rest"})
            for e in opened.entries
            if e.split in (None, "train")
        )
        self.plan = _plan(positive, options.size, options.steps)
        self.store = read_cases(
            replace(opened, entries=entries), self.plan.input,
            Recipe.from_dict(self.plan.recipe), self.plan.augmentation, salt="", seed=0,
        )  # fmt: skip
        self.target = targets(self.plan, self.store)
        self.truth = self.target.numpy()[:, 0].astype(np.int64)
        group = first_appearance([row.group for row in self.store.rows])
        self.fold = grouped_folds(strata(self.truth), group, options.folds, FOLD_SEED)
        print(f"{len(self.store)} cases, {int(self.truth.sum())} positive", flush=True)

    def curve(self, fold: int) -> None:
        """From scratch and from the encoder, for each share and draw of one fold."""
        training, held = self._sides(fold)
        encoder: Weights | None = None
        for share in self.options.shares:
            for draw in range(self.options.draws if share < 1 else 1):
                path = self.options.out / f"fold{fold}-share{share:g}-draw{draw}.json"
                if path.exists():
                    continue
                encoder = encoder or self._encoder(training, fold)
                chosen = self.draw(training, share, draw)
                kept: dict[str, Any] = {"fold": fold, "share": share, "labels": len(chosen)}
                for name, start in (("scratch", None), ("encoder", encoder)):
                    said = self.train(chosen, held, draw, start)
                    kept[name] = [round(float(v), 5) for v in said.logit[:, 0]]
                write_text(path, json.dumps(kept) + "\n")

    def selection(self, fold: int) -> None:
        """A tenth of the labels, and as many more: chosen or drawn."""
        training, held = self._sides(fold)
        for draw in range(self.options.draws):
            path = self.options.out / f"select-fold{fold}-draw{draw}.json"
            if path.exists():
                continue
            began = self.draw(training, 0.1, draw)
            left = np.setdiff1d(training, began)
            asked = np.concatenate([held, left])
            first = self.train(began, asked, draw, None)
            p = Calibration.identity("binary", 1).probabilities(first.logit[len(held) :])
            features = first.features[len(held) :].reshape(len(left), -1)
            picks = rank(uncertainty(p, "binary"), features, len(began))
            chosen = left[[pick.index for pick in picks]]
            random = np.random.default_rng([draw, 78]).permutation(left)[: len(began)]
            kept: dict[str, Any] = {
                "fold": fold, "share": 0.1, "labels": 2 * len(began),
                "positives_selected": int(self.truth[chosen].sum()),
                "positives_random": int(self.truth[random].sum()),
                "before": [round(float(v), 5) for v in first.logit[: len(held), 0]],
            }  # fmt: skip
            for name, more in (("scratch", random), ("encoder", chosen)):
                fit = np.sort(np.concatenate([began, more]))
                said = self.train(fit, held, draw, None)
                kept[name] = [round(float(v), 5) for v in said.logit[:, 0]]
            write_text(path, json.dumps(kept) + "\n")

    def train(self, fit: Index, asked: Index, seed: int, encoder: Weights | None) -> Outputs:
        """One network from some labels, and what it says of other cases."""
        began = time.monotonic()
        plan = self.plan
        if encoder is not None:
            ref = EncoderRef(name="e", sha256="0" * 64, method="masked", cases=1, steps=0)
            plan = plan.with_changes({"encoder": ref.model_dump(mode="json")})
        task = Task(plan, self.store, self.target, torch.device("cpu"), encoder=encoder)
        net, _ = fit_member(task, 0, Member(0, seed, fit, fit[:0], asked))
        print(f"  {len(fit)} labels: {time.monotonic() - began:.0f} s", flush=True)
        return predict(net, self.store, asked, 64, task.device)

    def draw(self, cases: Index, share: float, draw: int) -> Index:
        """A share of some cases, at least four of each class."""
        random = np.random.default_rng([draw, 77])
        parts = []
        for value in np.unique(self.truth):
            own = random.permutation(cases[self.truth[cases] == value])
            parts.append(own[: max(4, round(share * len(own)))])
        return np.sort(np.concatenate(parts))

    def _sides(self, fold: int) -> tuple[Index, Index]:
        return np.flatnonzero(self.fold != fold), np.flatnonzero(self.fold == fold)

    def _encoder(self, cases: Index, fold: int) -> Weights:
        from safetensors.torch import load_file, save_file

        path = self.options.out / f"encoder-fold{fold}.safetensors"
        if not path.exists():
            began = time.monotonic()
            how = PretrainOptions(
                method=self.options.method, steps=self.options.pretraining, seed=fold, threads=1
            )
            budget = Budget(1e6, began)
            part = self._part(cases)
            net, _, facts = learn_encoder(part, self.plan.network, how, budget)
            print(f"encoder {fold}: {facts['loss']}, {time.monotonic() - began:.0f} s", flush=True)
            save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
        weights: Weights = load_file(path)
        return weights

    def _part(self, cases: Index) -> CaseStore:
        rows = [self.store.rows[i] for i in cases.tolist()]
        plain = [self.store.plain[i] for i in cases.tolist()]
        return replace(self.store, rows=rows, plain=plain)


def summary(bench: _Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Mean AUC over folds and draws, both ways, and the difference with its interval."""
    pattern = "select-fold*.json" if options.select else "fold*-share*.json"
    kept = [json.loads(path.read_text()) for path in sorted(options.out.glob(pattern))]
    rows = []
    for share in sorted({row["share"] for row in kept}):
        own = [row for row in kept if row["share"] == share]
        names = ("before", "scratch", "encoder") if options.select else ("scratch", "encoder")
        each = {
            name: [_auc(bench.truth[bench.fold == row["fold"]], row[name]) for row in own]
            for name in names
        }
        low, high = _interval(bench, own)
        apart = np.subtract(each["encoder"], each["scratch"])
        said = {"scratch": "random", "encoder": "selected"} if options.select else {}
        rows.append(
            {
                "share": share,
                "labels": own[0]["labels"],
                "runs": len(own),
                **{said.get(name, name): round(float(np.mean(v)), 4) for name, v in each.items()},
                "difference": round(float(apart.mean()), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "each": [round(float(v), 4) for v in apart],
            }
        )
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
    settings = {k: v for k, v in settings.items() if k not in ("out", "dataset")}
    return {"dataset": options.dataset.name, "settings": settings, "rows": rows}


def _interval(bench: _Bench, own: list[dict[str, Any]], rounds: int = 1000) -> tuple[float, float]:
    """95 % bootstrap of the mean difference over held-out cases, drawn within fold and class."""
    random = np.random.default_rng(0)
    folds = sorted({row["fold"] for row in own})
    found = []
    for _ in range(rounds):
        drawn = {}
        for fold in folds:
            truth = bench.truth[bench.fold == fold]
            drawn[fold] = np.concatenate(
                [random.choice(np.flatnonzero(truth == v), int((truth == v).sum())) for v in (0, 1)]
            )
        apart = []
        for row in own:
            truth, at = bench.truth[bench.fold == row["fold"]], drawn[row["fold"]]
            values = [_auc(truth[at], np.asarray(row[n])[at]) for n in ("encoder", "scratch")]
            apart.append(values[0] - values[1])
        found.append(float(np.mean(apart)))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _auc(truth: NDArray[Any], score: Any) -> float:
    """Chance that a positive case scores above a negative one; ties count half."""
    values = np.asarray(score, dtype=np.float64)
    below = np.sort(values[truth == 0])
    above = values[truth == 1]
    wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(wins.mean() / (2 * len(below)))


def _plan(positive: str, size: int, steps: int) -> Plan:
    """The fixed plan: a small CNN with even places."""
    recipe = [
        {"grey": {}},
        {"rescale_intensity": {"in_low": 0.0, "in_high": 255.0}},
        {"resize": {"size": [size, size]}},
    ]
    small = size <= 32
    return Plan.from_dict(
        {
            "name": "benchmark",
            "task": "binary",
            "label_columns": ["label"],
            "classes": {"label": ["rest", positive]},
            "positive": {"label": positive},
            "input": {"kind": "image", "size": [size, size]},
            "recipe": {"version": 1, "name": "benchmark", "steps": recipe},
            "network": {
                "widths": [32, 64, 96] if small else [24, 48, 96],
                "strides": [2, 2, 1] if small else [2, 2, 2],
                "stem": 16 if small else 0,
                "norm": "batch",
                "activation": "relu",
                "rnn": "none",
                "sequence": "slices",
                "dropout": 0.2,
            },
            "optimiser": {"learning_rate": 0.004, "weight_decay": 0.05, "ema": 0.99},
            "smoothing": 0.05,
            "batch": 16,
            "steps": steps,
            "stopping": {"share": 0},
            "augmentation": {
                "flip_x": True, "rotation": 10.0, "scale": 0.1, "stretch": 0.05, "shift": 0.05,
                "brightness": 0.05, "contrast": 0.1, "gamma": 0.1, "noise": 0.02,
            },
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()
