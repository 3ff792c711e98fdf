"""``diaphane plan``: what a stranger sees of a dataset before anything learns from it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from commands import diaphane


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sixteen pictures of eight patients; the last one is damaged, the first two are the same."""
    folder = tmp_path_factory.mktemp("d") / "pictures"
    folder.mkdir()
    rows = []
    for number in range(16):
        random = np.random.default_rng(max(number, 1))
        image = random.integers(0, 255, (24, 24), dtype=np.uint8)
        name = f"mrs-smith-{number // 2}_{number % 2}.png"
        Image.fromarray(image).save(folder / name)
        rows.append({"file": name, "label": "ab"[number % 2], "concept:age": 40 + number * 7 % 13})
    (folder / rows[-1]["file"]).write_bytes(b"no picture")
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_names_stay_on_the_terminal(data, tmp_path):
    out = tmp_path / "plan"
    done = diaphane(
        "plan", data, "--threads", 1, "--out", out, "--concept", "age", "--group-regex", "smith-([0-9]+)",
        "--time-budget", "90s",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "mrs-smith-0_0.png" in done.stdout
    assert "mrs-smith-0_1.png" in done.stdout
    assert "under different labels" in done.stdout
    assert f"see {out / 'rejected.csv'}" in done.stderr
    with (out / "rejected.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["error"]) == ("mrs-smith-7_1.png", "UnreadableFile")
    plan, facts = (out / "plan.yaml").read_text(), (out / "fingerprint.json").read_text()
    for text in (plan, facts):
        assert "mrs" not in text
        assert str(data) not in text
    assert "given_concepts:\n  - age" in plan
    assert "time_budget: 90.0" in plan
    known = json.loads(facts)
    assert (known["cases"], known["groups"], known["refused"]) == (15, 8, 1)
    assert known["unreadable"][0][1] == "UnreadableFile"
    assert not known["duplicates"][0]["same_label"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--concept", "weight"], 2, "It has: age"),
        (["--group-regex", "mr-(.*)_"], 3, "does not match 16 of 16 names: mrs-smith-0_0.png"),
        (["--time-budget", "soon"], 2, "no time"),
    ],
)
def test_wrong_wishes_end_with_a_line(data, tmp_path, words, code, said):
    done = diaphane("plan", data, "--threads", 1, "--out", tmp_path / "plan", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "plan").exists()


def test_a_column_with_the_name_of_what_is_measured_is_refused(tmp_path):
    random = np.random.default_rng(0)
    rows = ["file,label,mask,concept:area,concept:age"]
    for number in range(12):
        mask = np.zeros((32, 32), np.uint8)
        mask[8 : 18 + number % 5, 8:20] = 255
        Image.fromarray(random.integers(0, 255, (32, 32), dtype=np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        Image.fromarray(mask).save(tmp_path / f"{number}-mask.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},{number}-mask.png,{number},{40 + number}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    words = ("plan", tmp_path, "--threads", 1, "--concept")
    done = diaphane(*words, "area", "--out", tmp_path / "p")
    assert done.returncode == 2, done.stderr
    assert "concept 'area' has the name of one that is measured" in done.stderr
    assert diaphane(*words, "age", "--out", tmp_path / "p").returncode == 0
