"""Codes -> sentences: the one table, in English; catalogues translate the sentences.

A row is ``kind.code``. Kinds: what was found, where, measured quantities, why there is no
probability, warnings, limits, rules and what they cannot know, why a series was taken or
left, stages of the work, concepts, figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def mark(message: str) -> str:
    """Mark a sentence for the catalogue; returns it unchanged."""
    return message


MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        # What was examined.
        "app.lung-ct": mark("Chest CT: lung nodules"),
        "modality.CT": mark("CT"),
        "modality.MR": mark("MR"),
        "modality.US": mark("Ultrasound"),
        "modality.DX": mark("Radiograph"),
        "modality.CR": mark("Radiograph"),
        "modality.MG": mark("Mammogram"),
        "modality.OT": mark("Image"),
        # What was found.
        "finding.nodule": mark("Lung nodule"),
        "finding.lung_nodule": mark("Lung nodule"),
        "finding.mass": mark("Lung mass"),
        "finding.lung_mass": mark("Lung mass"),
        "finding.lesion": mark("Lesion"),
        "finding.image": mark("Whole image"),
        "finding.whole_image": mark("Whole image"),
        "origin.proposed": mark("proposed by the program"),
        "origin.reader": mark("at a point given by the reader"),
        # Where.
        "organ.lung": mark("lung"),
        "side.right": mark("right lung"),
        "side.left": mark("left lung"),
        "third.upper": mark("upper third"),
        "third.middle": mark("middle third"),
        "third.lower": mark("lower third"),
        "attachment.juxtapleural": mark("against the pleura"),
        "attachment.juxtamediastinal": mark("against the mediastinum"),
        "attachment.pleura": mark("against the pleura"),
        "attachment.mediastinum": mark("against the mediastinum"),
        "attachment.vessel": mark("against a vessel"),
        "attachment.free": mark("free in the lung"),
        "attachment.solitary": mark("free in the lung"),
        "plane.axial": mark("Axial"),
        "plane.coronal": mark("Coronal"),
        "plane.sagittal": mark("Sagittal"),
        "plane.image": mark("Image"),
        "structure.right_lung": mark("right lung"),
        "structure.left_lung": mark("left lung"),
        "structure.airways": mark("airways"),
        "structure.body": mark("body"),
        # Measured quantities.
        "measurement.long_axis": mark("Long axis"),
        "measurement.short_axis": mark("Short axis"),
        "measurement.mean_diameter": mark("Mean diameter"),
        "measurement.volume": mark("Volume"),
        "measurement.area": mark("Area of the largest section"),
        "measurement.mean_density": mark("Mean density"),
        "measurement.mean_hu": mark("Mean density"),
        "measurement.mean": mark("Mean intensity"),
        "measurement.mean_intensity": mark("Mean intensity"),
        "measurement.sphericity": mark("Sphericity"),
        "measurement.std_density": mark("Spread of density"),
        "measurement.equivalent_diameter": mark("Diameter of the ball of equal volume"),
        "measurement.max_extent": mark("Largest extent"),
        "measurement.slices": mark("Images it spans"),
        # Why there is no probability.
        "reason.larger_than_training": mark(
            "It is larger than any nodule that the model was trained on (30 mm)."
        ),
        "reason.cut_by_frame": mark(
            "It is cut by the frame that the model sees, so the model would judge a part of it."
        ),
        "reason.unlike_training": mark(
            "Its appearance lies outside what the model was trained on."
        ),
        "reason.no_classifier": mark("No classifier was run on this finding."),
        "reason.not_segmented": mark("Its outline could not be drawn."),
        "reason.unknown_spacing": mark("The image does not state its size in millimetres."),
        # Classes.
        "meaning.lidc_suspicion": mark("rated suspicious by radiologists (LIDC 4 or 5)"),
        "meaning.lidc_suspicious": mark("rated suspicious by radiologists (LIDC 4 or 5)"),
        "meaning.rated_suspicious": mark("rated suspicious by radiologists (LIDC 4 or 5)"),
        "class.lidc_suspicion.malignant": mark("rated suspicious"),
        "class.lidc_suspicion.benign": mark("rated unsuspicious"),
        # Warnings beside a finding.
        "note.thick_slices": mark(
            "Slices are thicker than 3 mm: size along the body and volume are uncertain."
        ),
        "note.small": mark("At this size, measurements vary by about 2 mm between readings."),
        "note.touches_pleura": mark("It touches the chest wall; the border there is estimated."),
        "note.touches_mediastinum": mark(
            "It touches the mediastinum; the border there is estimated."
        ),
        "note.touches_border": mark(
            "It touches the border of the image; part of it may be missing."
        ),
        "note.segmentation_uncertain": mark("Its outline is uncertain; check it on the images."),
        "note.pixels": mark("The image does not state its spacing: sizes are in pixels."),
        # Notes and limits of the study.
        "study.series_taken": mark("Series %(number)s was taken."),
        "study.thick_slices": mark(
            "Slices are %(spacing)s mm apart: small nodules can be missed, and sizes are uncertain."
        ),
        "study.no_findings": mark("No candidate of 4 mm or more was proposed."),
        "study.incomplete_lungs": mark("The lungs are not wholly inside the images."),
        "study.contrast": mark("Contrast medium may raise measured densities."),
        "limit.not_a_device": mark(
            "This is research software, not a medical device; it must not guide care."
        ),
        "limit.sensitivity": mark(
            "Measured on phantoms, the search proposes %(sensitivity)s of nodules at "
            "%(false_positives)s false ones a scan."
        ),
        "limit.not_normal": mark(
            "That nothing was proposed does not mean that the lungs are normal."
        ),
        "limit.solid_only": mark(
            "The search looks for solid nodules; ground-glass and part-solid ones are not sought."
        ),
        "limit.labels_are_opinions": mark(
            "The model learned radiologists' ratings of suspicion, not pathology."
        ),
        "limit.one_reader_outline": mark(
            "The model was trained on outlines drawn by radiologists; here a program draws them."
        ),
        "limit.thick_slices": mark(
            "Slices thicker than 3 mm lower the sensitivity for small nodules."
        ),
        "limit.unknown_hu": mark(
            "The training images do not state Hounsfield units; a fixed window is assumed."
        ),
        # Rules.
        "rule.fleischner_2017": mark("Fleischner Society 2017, solid nodules"),
        "rule.fleischner_2017_solid": mark("Fleischner Society 2017, solid nodules"),
        "rule.fleischner2017": mark("Fleischner Society 2017, solid nodules"),
        "outcome.no_follow_up": mark("no routine follow-up in people at low risk"),
        "outcome.no_routine_follow_up": mark(
            "no routine follow-up at low risk; CT at 12 months is optional at high risk"
        ),
        "outcome.ct_6_12_months": mark("CT at 6 to 12 months"),
        "outcome.ct_3_6_months": mark("CT at 3 to 6 months"),
        "outcome.ct_3_months_pet_or_biopsy": mark(
            "consider CT at 3 months, PET/CT or tissue sampling"
        ),
        "outcome.not_applicable": mark("the rule does not apply to this finding"),
        "outcome.mass": mark("larger than 30 mm: a mass, outside this rule; needs work-up"),
        "input.mean_diameter": mark("mean diameter"),
        "input.mean_diameter_mm": mark("mean diameter (mm)"),
        "input.volume": mark("volume"),
        "input.volume_mm3": mark("volume (mm³)"),
        "input.count": mark("number of nodules"),
        "input.number": mark("number"),
        "input.nodules": mark("number of nodules"),
        "input.type": mark("type"),
        "input.solid": mark("solid"),
        "input.single": mark("single"),
        "input.multiple": mark("multiple"),
        "unknown.age": mark("age"),
        "unknown.known_cancer": mark("known cancer"),
        "unknown.immune_state": mark("immune state"),
        "unknown.risk": mark("risk (smoking, family history)"),
        "unknown.risk_factors": mark("risk (smoking, family history)"),
        "unknown.earlier_images": mark("earlier images"),
        "unknown.prior": mark("earlier images"),
        "unknown.symptoms": mark("symptoms"),
        "unknown.nodule_type": mark("whether it is solid"),
        # Why a series was taken or left.
        "series.preferred": mark("preferred by the rule"),
        "series.only": mark("the only series that fits"),
        "series.asked_for": mark("asked for by the user"),
        "series.requested": mark("asked for by the user"),
        "series.not_requested": mark("another series was asked for"),
        "series.wrong_modality": mark("another modality"),
        "series.modality": mark("another modality"),
        "series.localizer": mark("a localiser"),
        "series.localiser": mark("a localiser"),
        "series.not_axial": mark("not axial"),
        "series.too_few_slices": mark("too few images"),
        "series.few_slices": mark("too few images"),
        "series.thicker_slices": mark("thicker slices"),
        "series.thick_slices": mark("thicker slices"),
        "series.soft_kernel": mark("soft kernel"),
        "series.sharp_kernel": mark("sharp kernel"),
        "series.lung_kernel": mark("lung kernel"),
        "series.kernel": mark("kernel less fit for lungs"),
        "series.kernel_preferred": mark("kernel fit for lungs"),
        "series.thinner_slices": mark("thinner slices"),
        "series.more_slices": mark("more images"),
        "series.less_preferred": mark("another series is preferred"),
        "series.unreadable": mark("cannot be read"),
        "series.derived": mark("derived from other images"),
        # Stages of the work.
        "stage.read": mark("reading"),
        "stage.choose": mark("choosing the series"),
        "stage.lungs": mark("lungs and airways"),
        "stage.segment_lungs": mark("lungs and airways"),
        "stage.candidates": mark("proposing candidates"),
        "stage.propose": mark("proposing candidates"),
        "stage.nodules": mark("outlining nodules"),
        "stage.segment": mark("outlining nodules"),
        "stage.segment_nodules": mark("outlining nodules"),
        "stage.measure": mark("measuring"),
        "stage.classify": mark("classifying"),
        "stage.prepare": mark("preparing"),
        "stage.predict": mark("running the model"),
        "stage.model": mark("running the model"),
        "stage.rules": mark("expert rules"),
        "stage.report": mark("writing the report"),
        # Concepts (names of diaphane.measure).
        "concept.diameter": mark("Longest diameter"),
        "concept.short_axis": mark("Short axis"),
        "concept.area": mark("Area of the largest section"),
        "concept.equivalent_diameter": mark("Diameter of the disc of equal area"),
        "concept.volume": mark("Volume"),
        "concept.log_volume": mark("Volume (logarithm)"),
        "concept.log_area": mark("Area (logarithm)"),
        "concept.slices": mark("Slices it touches"),
        "concept.mean_area_share": mark("Cylindricity"),
        "concept.circularity": mark("Circularity"),
        "concept.solidity": mark("Solidity"),
        "concept.elongation": mark("Short over long axis"),
        "concept.radial_deviation": mark("Irregularity of the outline"),
        "concept.spiculation": mark("Share in thin parts"),
        "concept.sphericity": mark("Sphericity"),
        "concept.drift": mark("Shift from slice to slice"),
        "concept.mean_intensity": mark("Mean intensity"),
        "concept.intensity_spread": mark("Spread of intensity"),
        "concept.low_intensity": mark("Low intensity (10 %)"),
        "concept.median_intensity": mark("Median intensity"),
        "concept.high_intensity": mark("High intensity (90 %)"),
        "concept.skewness": mark("Skewness of intensity"),
        "concept.entropy": mark("Entropy of intensity"),
        "concept.bright_share": mark("Share of saturated pixels"),
        "concept.core_intensity": mark("Intensity of the core"),
        "concept.core_spread": mark("Spread in the core"),
        "concept.rim_intensity": mark("Intensity of the rim"),
        "concept.rim_spread": mark("Spread in the rim"),
        "concept.rim_contrast": mark("Core minus rim"),
        "concept.margin_step": mark("Steepness of the margin"),
        "concept.margin_spread": mark("Unevenness of the margin"),
        "concept.local_contrast": mark("Local contrast"),
        "concept.texture_contrast": mark("Texture contrast"),
        "concept.texture_homogeneity": mark("Texture homogeneity"),
        "concept.texture_correlation": mark("Texture correlation"),
        # Figures.
        "metric.auc": mark("Area under the ROC curve"),
        "metric.average_precision": mark("Average precision"),
        "metric.accuracy": mark("Accuracy"),
        "metric.balanced_accuracy": mark("Balanced accuracy"),
        "metric.sensitivity": mark("Sensitivity"),
        "metric.specificity": mark("Specificity"),
        "metric.f1": mark("F1"),
        "metric.brier": mark("Brier score"),
        "metric.ece": mark("Calibration error"),
        "metric.log_loss": mark("Log loss"),
        "metric.calibration_slope": mark("Calibration slope"),
        "metric.slope": mark("Calibration slope"),
        "metric.coverage": mark("Coverage of prediction sets"),
        "metric.mean_set_size": mark("Mean size of prediction sets"),
        "metric.dice": mark("Dice"),
        "metric.hd95": mark("Hausdorff distance (95 %)"),
        "metric.assd": mark("Mean surface distance"),
        "metric.volume_error": mark("Volume error"),
        "metric.unlike_training": mark("Share unlike training"),
        "metric.loss": mark("Loss"),
        "metric.deletion": mark("Deletion (smaller is better)"),
        "metric.insertion": mark("Insertion (larger is better)"),
        "metric.attention_in_mask": mark("Attention inside the mask"),
        "metric.randomised_correlation": mark("Correlation with randomised weights"),
    }
)
"""``kind.code`` -> English sentence; parameters as ``%(name)s``."""
