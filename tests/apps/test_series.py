"""Which series is taken, by the written rule, and what is said of the others."""

from dataclasses import replace

import pytest

from diaphane.apps.series import Offer, SeriesRule, choose_series, load_series_rule
from diaphane.core.errors import AmbiguousInput, NotApplicable, UsageError

THIN = Offer(
    key="S-1",
    number=4,
    uid="1.2.4",
    modality="CT",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    orientation="axial",
    slices=300,
    spacing=(1.0, 0.7, 0.7),
    kernel="B70f",
)


def offer(number, **changes):
    return replace(THIN, key=f"S-{number}", number=number, uid=f"1.2.{number}", **changes)


@pytest.fixture
def rule() -> SeriesRule:
    return load_series_rule("series_lung_ct")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "MR"}, "wrong_modality"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localiser"),
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "derived"),
        ({"orientation": "coronal"}, "not_axial"),
        ({"slices": 3}, "too_few_slices"),
        ({"spacing": (None, 0.7, 0.7)}, "spacing_unknown"),
        ({"spacing": (10.0, 0.7, 0.7), "slices": 30}, "slices_too_thick"),
        ({"slices": 60}, "coverage_too_small"),
        ({"spacing": (5.0, 0.7, 0.7), "slices": 60}, "thicker_slices"),
        ({"slices": 180}, "less_coverage"),
        ({"kernel": "B30f"}, "kernel"),
        ({"kernel": ""}, "kernel"),
        ({"slices": 299}, "fewer_slices"),
    ],
)
def test_why_a_series_is_left(rule, changes, code):
    taken, choices = choose_series([offer(2, **changes), THIN], rule)
    assert taken == 1
    assert choices[0].taken is False
    assert code in choices[0].reasons
    assert choices[1].taken is True


def test_the_only_one(rule):
    taken, choices = choose_series([THIN], rule)
    assert (taken, choices[0].reasons) == (0, ("only",))
    assert choose_series([THIN], None)[1][0].reasons == ("only",)


def test_slices_below_1_5_mm_do_not_beat_a_lung_kernel(rule):
    taken, _ = choose_series(
        [offer(1, kernel="B31f", spacing=(0.6, 0.7, 0.7), slices=500), THIN], rule
    )
    assert taken == 1


def test_a_tie_is_refused_with_the_list(rule):
    with pytest.raises(AmbiguousInput, match=r"series 4 .* series 5 .*--series"):
        choose_series([THIN, offer(5), offer(6, kernel="B30f")], rule)


def test_several_without_a_rule_are_refused():
    with pytest.raises(AmbiguousInput):
        choose_series([THIN, offer(5)], None)


def test_none_fits(rule):
    with pytest.raises(NotApplicable, match="localiser"):
        choose_series([offer(1, image_type=("LOCALIZER",)), offer(2, modality="PT")], rule)


@pytest.mark.parametrize("wanted", ["1.2.5", "5", "S-5", " 5 "])
def test_the_reader_chooses(rule, wanted):
    taken, choices = choose_series([THIN, offer(5, modality="MR")], rule, wanted)
    assert taken == 1
    assert choices[1].reasons == ("asked_for",)
    assert choices[0].reasons == ("not_requested",)


def test_a_choice_that_is_not_there(rule):
    with pytest.raises(UsageError, match="'7'"):
        choose_series([THIN], rule, "7")


def test_a_number_that_two_share(rule):
    with pytest.raises(AmbiguousInput):
        choose_series([THIN, replace(offer(5), number=4)], rule, "4")


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("L", "lung"), ("LUNG", "lung"), ("Bl57f\\3", "lung"), ("FC51", "lung"), ("CHST", "lung"),
        ("B70f", "sharp"), ("Br64d/3", "sharp"), ("BONEPLUS", "sharp"), ("YA", "sharp"),
        ("B45f", "medium"), ("Br40d", "medium"), ("STANDARD", "medium"), ("C", "medium"),
        ("B30f", "soft"), ("I26f/2", "soft"), ("SOFT", "soft"), ("B", "soft"), ("FC02", "soft"),
        ("", "unknown"), ("PHANTOM", "unknown"), ("~99", "unknown"),
    ],
)  # fmt: skip
def test_kernels(rule, kernel, kind):
    assert rule.kernel_class(kernel) == kind
