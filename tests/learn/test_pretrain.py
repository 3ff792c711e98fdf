"""Learning without labels: repeatable, bounded, blind to labels; and a run that starts from it."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diaphane.core.errors import DatasetError, OutputError, PlanError, UnreadableFile, UsageError
from diaphane.learn import TrainOptions, train
from diaphane.learn.plans import Plan
from diaphane.learn.pretrained import adopt, load_encoder, start_from
from diaphane.learn.pretraining import PretrainOptions, pretrain
from diaphane.learn.selfsupervised import Reader, Views, pooled
from diaphane.models import EvidenceNet

QUICK = PretrainOptions(steps=3, batch=8, threads=1)


@pytest.fixture(scope="module")
def pictures(synthetic, tmp_path_factory):
    return synthetic.write_pictures(tmp_path_factory.mktemp("p") / "pictures.npz", 24)


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory):
    return pretrain(pictures, tmp_path_factory.mktemp("e") / "encoder", QUICK)


def test_the_folder_is_whole_and_fits_the_network(made):
    read = load_encoder(made.folder)
    assert {p.name for p in made.folder.iterdir()} == {
        "encoder.safetensors", "encoder.json", "report.html",
    }  # fmt: skip
    net = EvidenceNet(read.facts.config)
    start_from(net, read.weights)
    for name, value in net.encoder.state_dict().items():
        assert torch.equal(value, read.weights[name])
    assert read.facts.cases == 24  # the train part alone
    assert len(read.facts.seen) == 24
    assert "<svg" in (made.folder / "report.html").read_text()


def test_labels_are_not_looked_at_and_the_same_seed_is_the_same(pictures, made, tmp_path):
    arrays = dict(np.load(pictures))
    for name in [n for n in arrays if n.endswith("labels")]:
        arrays[name] = arrays[name][::-1].copy()
    other = tmp_path / "pictures.npz"
    np.savez(other, **arrays)
    again = pretrain(other, tmp_path / "again", QUICK)
    assert again.encoder.facts.sha256 == made.encoder.facts.sha256
    different = pretrain(
        other, tmp_path / "seed", PretrainOptions(steps=3, batch=8, threads=1, seed=1)
    )
    assert different.encoder.facts.sha256 != made.encoder.facts.sha256


def test_a_folder_of_pictures_will_do(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "loose"
    folder.mkdir()
    for number in range(9):
        Image.fromarray(random.integers(0, 255, (20, 24)).astype(np.uint8)).save(
            folder / f"{number}.png"
        )
    (folder / "bad.png").write_bytes(b"no picture")
    how = PretrainOptions(method="agreement", steps=2, batch=4, threads=1)
    done = pretrain(folder, tmp_path / "encoder", how)
    assert (done.encoder.facts.cases, len(done.refused)) == (9, 1)
    assert all(math.isfinite(v) for v in done.losses)


def test_hidden_pixels_become_easier(tmp_path):
    """Stripes can be told from their surroundings."""
    rows = np.arange(32)[:, None] // 4 % 2
    images = np.stack([np.roll(np.repeat(rows * 200, 32, 1), k % 8, 0) for k in range(24)])
    labels = np.arange(24)[:, None] % 2
    np.savez(tmp_path / "s.npz", train_images=images.astype(np.uint8), train_labels=labels)
    done = pretrain(tmp_path / "s.npz", tmp_path / "e", PretrainOptions(steps=30, threads=1))
    first, last = done.encoder.facts.loss
    assert last < 0.7 * first


def test_time_is_kept(pictures, tmp_path):
    done = pretrain(pictures, tmp_path / "e", PretrainOptions(seconds=3.0, batch=8, threads=1))
    assert done.encoder.facts.steps == len(done.losses) >= 1


def test_stacks_are_read_slice_by_slice(balls, tmp_path):
    done = pretrain(balls, tmp_path / "e", QUICK)
    facts = done.encoder.facts
    assert facts.slices > facts.cases == 24
    assert facts.input.concepts == ()


def test_what_cannot_be_done_is_refused(pictures, made, tmp_path):
    with pytest.raises(OutputError):
        pretrain(pictures, made.folder, QUICK)
    with pytest.raises(UsageError):
        pretrain(pictures, tmp_path / "e", PretrainOptions(seconds=0))
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 20), number, np.uint8)).save(few / f"{number}.png")
    with pytest.raises(DatasetError, match="too few"):
        pretrain(few, tmp_path / "e", QUICK)
    assert not (tmp_path / "e").exists()


def test_a_damaged_encoder_is_refused(made, tmp_path):
    import shutil

    folder = shutil.copytree(made.folder, tmp_path / "copy")
    data = bytearray((folder / "encoder.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "encoder.safetensors").write_bytes(data)
    with pytest.raises(UnreadableFile, match="hash"):
        load_encoder(folder)
    values = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**values, "steps": -1}))
    with pytest.raises(UnreadableFile, match="steps"):
        load_encoder(folder)
    with pytest.raises(UnreadableFile, match="not the folder"):
        load_encoder(tmp_path)


def test_a_run_starts_from_the_encoder(pictures, made, tmp_path):
    said: list[str] = []
    options = TrainOptions(encoder=made.folder, epochs=1, threads=1, probes=2)
    run = train(pictures, tmp_path / "run", options=options, say=said.append)
    assert run.plan.encoder.sha256 == made.encoder.facts.sha256
    assert run.plan.network.widths == made.encoder.facts.network.widths
    assert any("start from encoder" in line for line in said)
    assert Plan.read(run.folder / "plan.yaml").encoder == run.plan.encoder
    weights = load_encoder(made.folder).weights
    kept = next(iter((run.folder / "checkpoint").glob("member-*")))
    from diaphane.models import load_checkpoint

    net = load_checkpoint(kept)
    fresh = EvidenceNet(made.encoder.facts.config)
    far = sum(float((a - weights[n]).abs().sum()) for n, a in fresh.encoder.state_dict().items())
    near = sum(float((a - weights[n]).abs().sum()) for n, a in net.encoder.state_dict().items())
    assert near < 0.5 * far  # one epoch leaves it near where it began


def test_another_kind_of_image_is_refused(made):
    plan = Plan.from_dict(
        {
            "task": "binary", "label_columns": ["label"], "classes": {"label": ["a", "b"]},
            "positive": {"label": "b"}, "recipe": {"version": 1, "name": "x", "steps": []},
            "input": {"kind": "image", "channels": 3, "size": [32, 32]},
        }
    )  # fmt: skip
    with pytest.raises(PlanError, match="channels"):
        adopt(plan, made.encoder)
    grey = plan.with_changes({"input": {"kind": "image", "size": [64, 64]}})
    taken, said = adopt(grey, made.encoder)
    assert taken.input.size == made.encoder.facts.input.size
    assert "input.size" in said[-1] or "input.size" in said[-2]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.integers(1, 3))
def test_views_keep_shape_and_outline(seed, outlined, channels):
    image = torch.rand(4, channels, 24, 20)
    mask = torch.zeros(4, 24, 20)
    mask[:, 6:18, 5:15] = 1
    views = Views(outlined=outlined, flip_y=True, rotation=90.0)
    shown, inside = views(image, mask, torch.Generator().manual_seed(seed))
    assert shown.shape == image.shape
    assert bool(torch.isfinite(shown).all())
    again, _ = views(image, mask, torch.Generator().manual_seed(seed))
    assert torch.equal(shown, again)
    if outlined:
        assert float((shown * (1 - inside).unsqueeze(1)).abs().max()) == 0.0


def test_an_empty_mask_pools_the_whole_frame():
    features = torch.rand(2, 3, 4, 4)
    whole = pooled(features, torch.zeros(2, 8, 8))
    assert torch.allclose(whole, features.mean((2, 3)), atol=1e-6)
    reader = Reader(torch.nn.Conv2d(2, 3, 1), takes_mask=True)
    assert reader(torch.rand(2, 1, 8, 8), torch.ones(2, 8, 8)).shape == (2, 3, 8, 8)
