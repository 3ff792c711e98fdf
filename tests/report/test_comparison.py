"""The page of a comparison: what is clear is said, in either language, and nothing slips in."""

import pytest

from diaphane.core.evaluation import Interval
from diaphane.report import Comparison, Row, write_comparison


def row(name, first, second, low, high):
    gap = Interval(second - first, low, high)
    return Row(name, Interval(first, first - 0.1, first + 0.1), Interval(second, None, None), gap)


@pytest.mark.parametrize(
    ("name", "low", "high", "better"),
    [
        ("auc", 0.01, 0.05, 1),
        ("auc:malignant", -0.05, -0.01, 0),
        ("brier", -0.05, -0.01, 1),
        ("hd95:left", 0.1, 0.4, 0),
        ("dice", -0.01, 0.05, None),
        ("calibration_slope", 0.1, 0.4, None),
        ("coverage:benign", 0.1, 0.4, None),
        ("auc", None, None, None),
        ("auc", 0.0, 0.0, None),
    ],
)
def test_which_side_is_clearly_better(name, low, high, better):
    assert row(name, 0.8, 0.85, low, high).better() == better


@pytest.mark.parametrize(
    ("lang", "words"), [("en", ("Clearly better", "Log loss")), ("zh", ("明显更好", "对数损失"))]
)
def test_the_page(tmp_path, lang, words):
    curve = {"roc": {"yes": {"x": [0, 0.2, 1], "y": [0, 0.9, 1]}}}
    page = Comparison(
        names=("old", "<script>new"),
        task="binary",
        n=40,
        groups=20,
        only=(3, 0),
        rows=[row("auc", 0.8, 0.85, 0.01, 0.09), row("log_loss", 0.5, 0.51, -0.01, 0.03)],
        curves=(curve, curve),
        plan=[("network.widths", "[8]", "[16]")],
        epochs=([{"epoch": 0.0, "loss": 1.0}, {"epoch": 1.0, "loss": 0.5}], []),
        facts={"seed": 0, "rounds": 100, "level": 0.95},
        notes=["What was <b>said</b>."],
    )
    text = write_comparison(page, tmp_path / "c.html", lang=lang).read_text(encoding="utf-8")
    for word in (*words, "+0.050", "network.widths", "&lt;script&gt;new", "&lt;b&gt;said"):
        assert word in text
    assert "<script>new" not in text
    assert text.count("<b>+0.050</b>") == 1
    assert "<b>+0.010</b>" not in text
    assert text.count('class="chart"') == 2
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_single_epoch_of_several_networks_is_drawn(tmp_path):
    once = [{"epoch": 0.0, "loss": 1.0}, {"epoch": 0.0, "loss": 0.8}]
    page = Comparison(
        names=("old", "new"), task="binary", n=4, groups=4, only=(0, 0), rows=[], curves=({}, {}),
        plan=[], epochs=(once, once), facts={"seed": 0, "rounds": 9, "level": 0.95}, notes=[],
    )  # fmt: skip
    text = write_comparison(page, tmp_path / "c.html").read_text(encoding="utf-8")
    assert text.partition("Training loss")[2].count("<circle") == 2
