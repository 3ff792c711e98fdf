"""``select``: open questions first, strange cases among them, never many of a kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from diaphane import batch
from diaphane.batch.selecting import rank, uncertainty
from diaphane.bundle import InputSpec, Seen, case_hash, load_bundle
from diaphane.core.errors import EmptyInput, UsageError
from tables import rows


@pytest.fixture(scope="module")
def folder(toys, tmp_path_factory):
    manifest = toys.eight_bit_manifest(
        input=InputSpec(kind="image", size=(16, 16), mask="none"), task="binary"
    )
    return toys.write_toy(
        tmp_path_factory.mktemp("b") / "toy", manifest=manifest, weights=[[8.0]], bias=[-4.6]
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten pictures from dark to bright; the toy is undecided in the middle."""
    place = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        grey = np.full((16, 16), 20 + 22 * number, np.uint8)
        grey[number] += 5
        Image.fromarray(grey).save(place / f"p{number}.png")
    return place


def test_the_open_question_comes_first(folder, pictures, tmp_path):
    done = batch.select(load_bundle(folder, threads=1), [pictures], 3, tmp_path / "s.csv")
    found = rows(tmp_path / "s.csv")
    assert [row["rank"] for row in found] == ["1", "2", "3"]
    assert done.left == 7
    everything = batch.select(folder, [pictures], 10)
    first = max(everything.chosen, key=lambda case: case.uncertainty)
    assert found[0]["file"] == first.file
    assert "Undecided" in found[0]["reason"]
    assert all(row["reason"] for row in found)
    assert 0.3 < float(found[0]["probability:malignant"]) < 0.7


def test_cases_that_made_the_model_are_left_out(toys, folder, pictures, tmp_path):
    from diaphane.acquire import open_inputs

    entries = open_inputs([pictures], sequences=False).entries
    hashes = tuple(sorted(case_hash(entry.load(), "salt") for entry in entries[:4]))
    manifest = load_bundle(folder).manifest.model_copy(
        update={"seen": Seen(salt="salt", train=hashes)}
    )
    known = toys.write_toy(tmp_path / "known", manifest=manifest, weights=[[8.0]], bias=[-4.6])
    done = batch.select(known, [pictures], 20)
    assert done.known == 4
    assert {case.file for case in done.chosen} == {entry.name for entry in entries[4:]}
    with pytest.raises(EmptyInput):
        batch.select(known, [pictures / "p0.png"], 1)


def test_what_cannot_be_read_is_listed(folder, pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = batch.select(folder, [pictures, tmp_path / "bad.png"], 2, tmp_path / "s.csv")
    assert len(done.chosen) == 2
    with pytest.raises(EmptyInput) as told:
        batch.select(folder, [tmp_path / "bad.png"], 2)
    assert "1 cannot be used; the first:" in str(told.value.remedy)
    assert [r["file"] for r in rows(done.rejected)] == [str(tmp_path / "bad.png")]


def test_another_file_is_not_overwritten(folder, pictures, tmp_path):
    other = tmp_path / "labels.csv"
    other.write_text("file,label\n")
    with pytest.raises(UsageError):
        batch.select(folder, [pictures], 2, other)
    with pytest.raises(UsageError):
        batch.select(folder, [pictures], 0)


def test_what_is_expected_to_be_outlined_badly_comes_first(segments, tmp_path):
    """Grey levels between two labels leave the toy in doubt."""
    bundle = segments.write_rings(tmp_path / "b" / "rings")
    images = tmp_path / "images"
    for number, blur in enumerate((0.0, 1.0, 0.3)):
        image, _ = segments.ring_image((8, 20, 22), seed=number)
        vague = (1 - blur) * image + blur * np.where(image > 60, 128 + 0.3 * (image - 128), image)
        folder = images / f"case{number}"
        folder.mkdir(parents=True)
        for z, plane in enumerate(vague.clip(0, 255).astype(np.uint8)):
            Image.fromarray(plane).save(folder / f"{z}.png")
    done = batch.select(bundle, [images], 3, tmp_path / "s.csv")
    assert done.chosen[0].file.endswith("case1")
    assert "outlined worst" in done.chosen[0].reason
    found = rows(tmp_path / "s.csv")
    assert 0.0 <= float(found[0]["predicted_dice:core"]) < float(found[-1]["predicted_dice:core"])


def test_of_cases_alike_one_is_enough():
    features = np.repeat(np.eye(4), 5, axis=0)  # four kinds, five of each
    uncertain = np.linspace(1.0, 0.6, 20)
    picks = rank(uncertain, features, 4)
    assert sorted(p.index // 5 for p in picks) == [0, 1, 2, 3]
    assert picks[0].index == 0


def test_a_strange_case_is_worth_more():
    features = np.random.default_rng(0).normal(size=(12, 3))
    distance = np.full(12, 0.5)
    distance[7] = 3.0
    assert rank(np.full(12, 0.5), features, 1, distance=distance)[0].index == 7


@given(
    arrays.arrays(np.float64, (9, 3), elements=st.floats(-10, 10)),
    arrays.arrays(np.float64, 9, elements=st.floats(0, 1)),
    st.integers(1, 12),
)
def test_each_case_is_chosen_once(features, uncertain, n):
    picks = rank(uncertain, features, n)
    assert len({p.index for p in picks}) == len(picks) == min(n, 9)
    assert picks[0].index == int(uncertain.argmax())
    assert all(0.0 <= p.novelty <= 1.0 for p in picks)


@given(st.floats(0, 1))
def test_uncertainty_is_greatest_in_the_middle(p):
    value = uncertainty(np.array([[1 - p, p], [0.5, 0.5]]), "binary")
    assert 0.0 <= value[0] <= value[1] == pytest.approx(1.0)
    assert uncertainty(np.array([[p, 0.5]]), "multilabel")[0] == pytest.approx(1.0)
