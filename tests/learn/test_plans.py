"""A plan is a file that a person may read, edit and get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from diaphane.acquire import open_dataset
from diaphane.bundle import prepare_case
from diaphane.core.errors import DatasetError, PlanError, UsageError
from diaphane.learn import Plan, plan
from diaphane.learn.network import network_config
from diaphane.learn.planning import read_plan
from diaphane.learn.segmenting import SegmentationPlan
from diaphane.preprocess import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def planned(balls, tmp_path_factory):
    out = tmp_path_factory.mktemp("plan")
    return plan(balls, out, threads=1), out


def test_the_fingerprint_says_what_is_there(planned):
    facts = planned[0].fingerprint
    assert (facts.cases, facts.groups) == (24, 24)
    assert facts.classes == {"label": {"calm": 12, "suspicious": 12}}
    assert facts.outlined
    assert facts.eight_bit
    assert not facts.masks
    assert facts.slices["high"] > 1
    assert facts.mask_extent is not None
    assert (planned[1] / "fingerprint.json").is_file()


def test_every_written_plan_reads_back_the_same(planned):
    made, out = planned
    again = Plan.read(out / "plan.yaml")
    assert again == made.plan.model_copy(update={"reasons": {}})
    text = (out / "plan.yaml").read_text()
    assert "an RNN the sequence of them\nnetwork:" in text
    for key in made.plan.reasons:
        assert f"\n{key}:" in text


def test_a_guess_is_said_aloud_and_a_wish_obeyed(balls, planned):
    assert any("guessed" in line for line in planned[0].said)
    asked = plan(balls, positive="calm", threads=1)
    assert asked.plan.output_names == ("calm",)
    assert asked.plan.class_names == ("suspicious", "calm")
    assert not any("guessed" in line for line in asked.said)
    with pytest.raises(UsageError, match="not a class"):
        plan(balls, positive="purple", threads=1)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", 0, "epochs"),
        ("epochs", "many", "epochs"),
        ("batchsize", 3, "batchsize"),
        ("optimiser", {"learning_rate": -1}, "optimiser.learning_rate"),
        ("augmentation", {"rotate": 3}, "augmentation.rotate"),
        ("positive", {"label": "purple"}, "positive.label"),
        ("classes", {"label": ["calm"]}, "classes.label"),
        ("task", "multilabel", "task"),
        ("seeds", [1, 1], "seeds"),
        ("name", "../x", "name"),
    ],
)
def test_a_wrong_key_is_named(planned, tmp_path, key, value, said):
    values = yaml.safe_load((planned[1] / "plan.yaml").read_text())
    values[key] = value
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(PlanError, match=said) as caught:
        Plan.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"version": 1, "steps": [{"gray": {}}]}}, "'recipe'.*gray"),
        ({"recipe": {"version": 1, "steps": [{"window": {"level": 1}}]}}, "'recipe'.*width"),
        ({"recipe": {"version": 9, "steps": []}}, "'recipe'"),
        ({"input.size": [30, 30]}, "'network'.*multiple"),
        ({"input.size": [4096, 4096], "batch": 512}, "'batch' and 'input.size'.*GB"),
        (
            {"input.size": [32, 64], "augmentation.transpose": True},
            "'augmentation.transpose'.*square",
        ),
        ({"network.widths": [8]}, "'network'.*widths"),
        ({"families": {"mine": {"network": {"rnn": "esn"}}}}, "families.mine.*network.rnn"),
        ({"families": {"mine": {"epochs": 3}}}, "families.mine"),
        ({"augmentation.transpose": False, "batch": 3}, None),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_what_cannot_be_obeyed_names_file_and_key(planned, tmp_path, change, said):
    values = yaml.safe_load((planned[1] / "plan.yaml").read_text())
    for key, value in change.items():
        part, _, inner = key.rpartition(".")
        (values[part] if part else values)[inner] = value
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(values))
    if said is None:
        assert read_plan(path).batch == 3
        return
    with pytest.raises(PlanError, match=said) as caught:
        read_plan(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_either_kind_of_plan_is_read_by_its_task(tmp_path):
    recipe = RECIPES / "hippocampus.yaml"
    assert isinstance(read_plan(recipe), SegmentationPlan)
    values = yaml.safe_load(recipe.read_text())
    for key, value, said in (
        ("patch", [33, 40, 40], "'patch'.*multiple"),
        ("patch", [4096, 4096, 4096], "'batch' and 'patch'.*GB"),
        ("positive", {"label": "x"}, "'positive'"),
    ):
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump({**values, key: value}))
        with pytest.raises(PlanError, match=said) as caught:
            read_plan(path)
        assert str(path) in str(caught.value)


def test_time_and_memory_are_said_where_they_are_decided(planned, balls):
    reasons = planned[0].plan.reasons
    assert "a step takes" in reasons["steps"]
    assert "GB of memory" in reasons["batch"]
    hurried = plan(balls, time_budget=60.0, threads=1, estimated=False).plan
    assert (hurried.steps, hurried.time_budget) == (None, 60.0)


def test_sizes_that_do_not_fit_are_said(planned):
    odd = planned[0].plan.with_changes({"input": {**_input(planned), "size": [15, 15]}})
    with pytest.raises(PlanError, match="network"):
        network_config(odd)


def _input(planned):
    return planned[0].plan.model_dump(mode="json")["input"]


def test_not_yaml(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("a: [1")
    with pytest.raises(PlanError, match="not YAML"):
        Plan.read(path)
    path.write_text("just words")
    with pytest.raises(PlanError, match="not a YAML mapping"):
        Plan.read(path)
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.read(tmp_path / "none.yaml")


def test_one_class_only(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "one", 6, classes=("same",))
    with pytest.raises(DatasetError, match="only the class 'same'"):
        plan(folder, threads=1)


def test_twins_in_two_groups_are_warned_of(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "twins", 8)
    source, copy = (folder / "images" / name for name in ("case000", "case007"))
    for file in copy.iterdir():
        file.unlink()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    made = plan(folder, threads=1)
    assert len(made.fingerprint.duplicates) == 1
    assert any("same image in different groups" in line for line in made.said)


def test_pictures_keep_their_size_and_may_be_read_as_rows(synthetic, tmp_path):
    made = plan(synthetic.write_pictures(tmp_path / "dots.npz", 20), threads=1).plan
    assert made.input.kind == "image"
    assert made.input.mask == "none"
    assert made.input.size == (28, 28)
    assert made.family("cnn-rnn").network.sequence == "rows"


def test_grey_and_colour_files_train_together(tmp_path):
    for number in range(12):
        where = tmp_path / "set" / "ab"[number % 2]
        where.mkdir(parents=True, exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 255, (16, 16), dtype=np.uint8)
        image = Image.fromarray(grey)
        if number % 5 == 0:
            image = image.convert("RGB")
            image.putpixel((3, 3), (200, 10, 10))
        image.save(where / f"{number}.png")
    made = plan(tmp_path / "set", threads=1)
    assert made.plan.input.channels == 1
    dataset = open_dataset(tmp_path / "set")
    recipe = Recipe.from_dict(made.plan.recipe)
    for entry in dataset.entries:
        assert prepare_case(entry.load(), made.plan.input, recipe).image.shape[1] == 1


def test_three_classes_are_multiclass(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "three", 18, classes=("a", "b", "c"))
    made = plan(folder, threads=1).plan
    assert made.task == "multiclass"
    assert made.output_names == ("a", "b", "c")
    assert made.positive == {}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_recipes_are_valid_plans(path):
    plan = read_plan(path)
    assert plan.licence != "not stated"
    assert plan.sources
    again = type(plan).from_dict(plan.model_dump(mode="json"))
    assert again == plan
