"""Codes of recalibrations and comparisons -> sentences; a part of the table in ``messages``."""

from __future__ import annotations

from collections.abc import Mapping

from diaphane.report.messages_learning import mark

JUDGING: Mapping[str, str] = {
    "verdict.undefined": mark("Whether it helps cannot be said: the log loss is undefined."),
    "verdict.helps": mark(
        "It helps: on groups held out, the log loss changes by %(change)s (%(low)s to %(high)s)."
    ),
    "verdict.worse": mark(
        "It makes things worse: on groups held out, the log loss changes by %(change)s "
        "(%(low)s to %(high)s). Keep the bundle as it was."
    ),
    "verdict.unclear": mark(
        "It does not clearly help: on groups held out, the log loss changes by %(change)s "
        "(%(low)s to %(high)s). The bundle as it was serves these cases as well, as far as this "
        "many can tell."
    ),
    "verdict.much_unlike": mark(
        "%(share)s of these cases are unlike what the bundle was trained on, and the limit is moved "
        "to let them pass: check that they are images of the same kind."
    ),
    "verdict.few": mark(
        "The rarest class has %(rarest)s cases: with fewer than %(enough)s the refit is uncertain, "
        "as the intervals show."
    ),
    "verdict.same_order": mark(
        "The order of the cases, and with it the AUC (%(auc)s), stays as it was."
    ),
    "verdict.before": mark("before"),
    "verdict.after": mark("after"),
    "verdict.recalibration": mark("Recalibration of %(title)s"),
    "verdict.trained_on": mark("%(count)s cases are left out, as it was trained on them."),
    "verdict.other_images": mark(
        "The runs saw different images: cases of the same name may be different cases."
    ),
    "verdict.positive_of_first": mark(
        "Sensitivity is for '%(label)s', the positive class of the first."
    ),
    "verdict.positive_guessed": mark(
        "The positive class is guessed: '%(label)s' (choose with --positive)."
    ),
    "verdict.no_header": mark("The table has no header: read as index and a column per class."),
    "verdict.single_column": mark(
        "The column '%(column)s' is read as the probability of '%(label)s'."
    ),
    "verdict.only_decisions": mark(
        "Every probability is exactly 0 or 1: these are decisions, so the area under the curve and "
        "the calibration say little."
    ),
    "verdict.predictions_of_none": mark(
        "%(count)s predictions are of no case of the data set and are not judged: %(names)s"
    ),
    "verdict.predictions_elsewhere": mark(
        "%(count)s predictions are of cases outside the chosen split and are not judged: %(names)s"
    ),
    "verdict.none_usable": mark("%(count)s cases have no usable prediction."),
}
