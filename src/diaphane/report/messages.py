"""Codes -> sentences: the one table, in English; catalogues translate the sentences.

A row is ``kind.code``. Kinds: what was found, where, measured quantities, why there is no
probability, warnings, limits, rules and what they cannot know, why a series was taken or
left, stages of the work, concepts, figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from diaphane.report.messages_judging import JUDGING
from diaphane.report.messages_learning import LEARNING, mark

__all__ = ["MESSAGES", "mark"]


MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        **LEARNING,
        **JUDGING,
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
        "finding.outline": mark("Outlined structure"),
        "finding.image": mark("Whole image"),
        "finding.whole_image": mark("Whole image"),
        "origin.proposed": mark("proposed by the program"),
        "origin.reader": mark("at a point given by the reader"),
        # Where.
        "organ.lung": mark("lung"),
        "side.right": mark("right lung"),
        "side.left": mark("left lung"),
        "side.unknown": mark("lung"),
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
        "finding.point": mark("Point of the reader"),
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
        "measurement.predicted_dice": mark("Predicted Dice"),
        "measurement.uncertain_share": mark("Uncertain part of the outline"),
        # Why there is no probability.
        "reason.larger_than_training": mark(
            "It is larger than any nodule that the model was trained on."
        ),
        "reason.larger_than_training_of": mark(
            "It is larger than any nodule that the model was trained on (%(value)s mm)."
        ),
        "reason.cut_by_frame": mark(
            "It is cut by the frame that the model sees, so the model would judge a part of it."
        ),
        "reason.unlike_training": mark(
            "Its appearance lies outside what the model was trained on."
        ),
        "reason.outline_only": mark("The model outlines structures and rates nothing."),
        "reason.no_classifier": mark("No classifier was run on this finding."),
        "reason.not_segmented": mark("Its outline could not be drawn."),
        "reason.unknown_spacing": mark("The image does not state its size in millimetres."),
        # Classes.
        "meaning.lidc_suspicion": mark("rated suspicious by radiologists (LIDC 4 or 5)"),
        "meaning.lidc_suspicious": mark("rated suspicious by radiologists (LIDC 4 or 5)"),
        "class.lidc_suspicious.malignant": mark("rated suspicious"),
        "class.lidc_suspicious.benign": mark("rated unsuspicious"),
        "class.lidc_suspicion.malignant": mark("rated suspicious"),
        "class.lidc_suspicion.benign": mark("rated unsuspicious"),
        "task.binary": mark("two classes"),
        "task.multiclass": mark("several classes"),
        "task.multilabel": mark("several labels"),
        "task.segmentation": mark("segmentation"),
        "split.train": mark("training"),
        "split.val": mark("validation"),
        "split.test": mark("test"),
        "split.all": mark("all"),
        "split.out_of_fold": mark("out of fold"),
        "split.calibration": mark("calibration"),
        "setting.seed": mark("Seed"),
        "setting.rounds": mark("Bootstrap rounds"),
        "setting.level": mark("Level"),
        "setting.threshold": mark("Threshold"),
        "setting.positive": mark("Positive class"),
        "setting.split_from": mark("Split given by"),
        "setting.include_seen": mark("Seen cases included"),
        "setting.unlike_training": mark("Cases unlike training"),
        "setting.refused": mark("Inputs refused"),
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
        "note.density_below_solid": mark(
            "Its mean density is below that of solid tissue; it may be part-solid or ground-glass."
        ),
        "note.rule_disagrees": mark("Rule and model disagree: a reason to look again."),
        "note.outline_expected_good": mark(
            "The model expects its outline to agree well with an expert's (predicted Dice 0.85 "
            "or more)."
        ),
        "note.outline_expected_fair": mark(
            "The model expects its outline to agree fairly with an expert's (predicted Dice 0.70 "
            "to 0.85): check the border."
        ),
        "note.outline_expected_poor": mark(
            "The model expects its outline to agree poorly with an expert's (predicted Dice "
            "below 0.70): do not use its size without checking."
        ),
        "note.pixels": mark("The image does not state its spacing: sizes are in pixels."),
        # Notes and limits of the study.
        "study.not_audited": mark(
            "The audit chain could not be written: this analysis is not recorded there."
        ),
        "study.refused_series": mark("%(count)s further series could not be read."),
        "study.resampled": mark(
            "The slices were sheared or unevenly spaced and were resampled to an upright, even "
            "grid: values are interpolated."
        ),
        "study.assumed_hu": mark(
            "The file states no unit; its values were taken for Hounsfield units."
        ),
        "study.no_classifier": mark(
            "The model bundle “%(name)s” is not installed: nothing is rated."
        ),
        "study.more_candidates": mark("%(rest)s further candidates are not shown."),
        "study.sensitivity_unknown": mark(
            "How many nodules the search finds has not been measured for this version."
        ),
        "study.sensitivity": mark(
            "Measured (%(set)s, %(size)s mm): the search proposes %(value)s of the nodules "
            "(%(low)s to %(high)s; n = %(n)s), with %(false_per_scan)s others a scan."
        ),
        "study.nothing_outlined": mark("Nothing was outlined."),
        "study.labels_absent": mark("Not found in this image: %(names)s."),
        "study.pixels": mark("The image does not state its spacing: sizes are in pixels."),
        "study.thick_slices": mark(
            "Slices are %(spacing)s mm apart: small nodules can be missed, and sizes are uncertain."
        ),
        "study.no_candidate": mark("No candidate of %(min_diameter_mm)s mm or more was proposed."),
        "study.incomplete_lungs": mark("The lungs are not wholly inside the images."),
        "study.contrast": mark("Contrast medium may raise measured densities."),
        "limit.not_a_device": mark(
            "This is research software, not a medical device; it must not guide care."
        ),
        "limit.outline_by_model": mark(
            "Outlines are a model's. Predicted Dice is its own estimate of how well they agree with "
            "an expert's, fitted on held-out cases; images unlike those can mislead it."
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
            "The training images do not state Hounsfield units; black to white is taken as "
            "%(low)s to %(high)s HU."
        ),
        "limit.largest": mark(
            "No training nodule exceeds %(value)s mm; larger lesions are measured but not rated."
        ),
        "limit.given_context": mark(
            "Evidence is the contribution to this model's score, given the rest of the study."
        ),
        # Rules.
        "rule.fleischner_2017_solid": mark("Fleischner Society 2017, solid nodules"),
        "outcome.single_under_6": mark("single solid nodule under 6 mm"),
        "outcome.single_6_to_8": mark("single solid nodule of 6 to 8 mm"),
        "outcome.single_over_8": mark("single solid nodule over 8 mm"),
        "outcome.multiple_under_6": mark("several solid nodules, this one under 6 mm"),
        "outcome.multiple_6_to_8": mark("several solid nodules, this one of 6 to 8 mm"),
        "outcome.multiple_over_8": mark("several solid nodules, this one over 8 mm"),
        "outcome.mass": mark("larger than 30 mm: a mass, outside this rule; it needs work-up"),
        "outcome.not_solid": mark("not solid by its density: outside this rule"),
        "outcome.not_applicable": mark("the rule does not apply to this finding"),
        "advice.no_routine_follow_up": mark("no routine follow-up"),
        "advice.optional_ct_12_months": mark("CT at 12 months is optional"),
        "advice.ct_6_12_then_consider_18_24": mark(
            "CT at 6 to 12 months, then consider CT at 18 to 24 months"
        ),
        "advice.ct_6_12_then_18_24": mark("CT at 6 to 12 months, then at 18 to 24 months"),
        "advice.consider_ct_3_pet_or_tissue": mark(
            "consider CT at 3 months, PET/CT, or tissue sampling"
        ),
        "advice.ct_3_6_then_consider_18_24": mark(
            "CT at 3 to 6 months, then consider CT at 18 to 24 months"
        ),
        "advice.ct_3_6_then_18_24": mark("CT at 3 to 6 months, then at 18 to 24 months"),
        "input.low_risk": mark("At low risk"),
        "input.high_risk": mark("At high risk"),
        "input.mean_diameter_mm": mark("mean diameter (mm)"),
        "input.density_hu": mark("mean density (HU)"),
        "input.nodules": mark("number of nodules"),
        "input.size": mark("size"),
        "input.number": mark("number"),
        "value.single": mark("single"),
        "value.multiple": mark("several"),
        "value.under_6": mark("under 6 mm"),
        "value.6_to_8": mark("6 to 8 mm"),
        "value.over_8": mark("over 8 mm"),
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
        "series.not_requested": mark("another series was asked for"),
        "series.wrong_modality": mark("another modality"),
        "series.localiser": mark("a localiser"),
        "series.derived": mark("derived from other images"),
        "series.not_axial": mark("not axial"),
        "series.spacing_unknown": mark("its spacing is not known"),
        "series.too_few_slices": mark("too few images"),
        "series.slices_too_thick": mark("its slices are too thick"),
        "series.coverage_too_small": mark("covers too little of the body"),
        "series.less_coverage": mark("covers less of the body"),
        "series.thicker_slices": mark("thicker slices"),
        "series.fewer_slices": mark("fewer images"),
        "series.kernel": mark("a kernel less fit for lungs"),
        "series.unreadable": mark("cannot be read"),
        # Stages of the work.
        "stage.choose": mark("choosing the series"),
        "stage.read": mark("reading"),
        "stage.lungs": mark("lungs and airways"),
        "stage.candidates": mark("proposing candidates"),
        "stage.segment": mark("outlining"),
        "stage.prepare": mark("preparing"),
        "stage.classify": mark("running the model"),
        "stage.predict": mark("running the model"),
        "stage.measure": mark("measuring"),
        "stage.rules": mark("expert rules"),
        "stage.write": mark("writing the report"),
        "stage.report": mark("writing the report"),
        # Concepts (names of diaphane.measure).
        "concept.diameter": mark("Longest diameter"),
        "concept.short_axis": mark("Short axis"),
        "concept.area": mark("Area of the largest section"),
        "concept.equivalent_diameter": mark("Diameter of the disc of equal area"),
        "concept.volume": mark("Volume"),
        "concept.log_volume": mark("Volume (on a log scale)"),
        "concept.log_area": mark("Area (on a log scale)"),
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
        "metric.sensitivity_at": mark("Sensitivity at the operating point"),
        "metric.specificity_at": mark("Specificity at the operating point"),
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
        "metric.surface_distance": mark("Mean surface distance"),
        "metric.volume_error": mark("Volume error"),
        "metric.unlike_training": mark("Share unlike training"),
        "metric.loss": mark("Loss"),
        "metric.deletion": mark("Deletion: gain over random order (logit; above 0 is right)"),
        "metric.insertion": mark("Insertion: gain over random order (logit; above 0 is right)"),
        "metric.deletion_background": mark("Deletion to background: gain over random order"),
        "metric.insertion_background": mark("Insertion on background: gain over random order"),
        "metric.randomised_weights": mark(
            "Correlation with maps of random weights (near 0 is right)"
        ),
        "metric.inside_mask": mark("Share of the contribution inside the mask"),
        "metric.mask_share": mark("Share of the frame inside the mask"),
        "metric.outside_change": mark("Change of the logit when all outside the mask is blanked"),
        "metric.adds_up": mark("Largest gap between score and parts"),
        "metric.ece_perfect_95": mark("Calibration error of a perfect model (95 %)"),
        "metric.cases": mark("Cases tested"),
        "metric.n": mark("Cases"),
        "metric.groups": mark("Groups"),
        "metric.folds": mark("Folds"),
        "metric.seed": mark("Seed"),
        "metric.rounds": mark("Bootstrap rounds"),
        "metric.level": mark("Level"),
    }
)
"""``kind.code`` -> English sentence; parameters as ``%(name)s``."""
