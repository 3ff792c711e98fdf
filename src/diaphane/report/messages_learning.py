"""Codes of training runs -> sentences; a part of the table in :mod:`diaphane.report.messages`."""

from __future__ import annotations

from collections.abc import Mapping


def mark(message: str) -> str:
    """Mark a sentence for the catalogue; returns it unchanged."""
    return message


LEARNING: Mapping[str, str] = {
    # What a case is.
    "kind.image": mark("an image"),
    "kind.sequence": mark("a sequence of slices"),
    "kind.volume": mark("a volume"),
    # Operating points.
    "point.youden": mark("At Youden's index"),
    "point.sensitivity_95": mark("For a sensitivity of 95%%"),
    "point.specificity_95": mark("For a specificity of 95%%"),
    "point.half": mark("At a probability of one half"),
    # Units of volumes.
    "unit.mm3": mark("mm³"),
    "unit.px": mark("voxels"),
    # Networks.
    "network.unet2d": mark("a two-dimensional U-Net"),
    "network.unet3d": mark("a three-dimensional residual U-Net"),
    "network.cnn_gru": mark(
        "a two-dimensional encoder and decoder per slice with a convolutional GRU across slices"
    ),
    "family.cnn": mark("plain CNN"),
    "family.cnn-rnn": mark("CNN read by an RNN"),
    "family.cnn-3d": mark("3-D CNN"),
    # How a network sees a case in use.
    "view.flip_x": mark("mirrored left and right"),
    "view.flip_y": mark("mirrored top and bottom"),
    "view.turn": mark("turned by half"),
    # Steps of a recipe.
    "step.grey": mark("conversion to grey"),
    "step.window": mark("grey-level window"),
    "step.clip": mark("clipping of intensity"),
    "step.rescale_intensity": mark("linear scaling of intensity to 0 to 1"),
    "step.zscore": mark("mean 0 and standard deviation 1"),
    "step.minmax": mark("smallest to largest value scaled to 0 to 1"),
    "step.percentile": mark("intensity percentiles scaled to 0 to 1"),
    "step.masked_background": mark("background set to a value"),
    "step.resample": mark("resampling"),
    "step.resize": mark("resizing"),
    "step.crop": mark("cropping"),
    "step.pad": mark("padding"),
    "step.crop_or_pad": mark("cropping or padding"),
    "step.orient": mark("axes in a fixed order"),
    "step.crop_foreground": mark("cropping to the foreground"),
    "step.thin_slices": mark("thinning of slices"),
    "step.limit_slices": mark("limit on slices"),
    "step.window_of": mark("grey-level window of centre %(level)s and width %(width)s"),
    "step.rescale_intensity_of": mark("intensity from %(in_low)s to %(in_high)s scaled to 0 to 1"),
    "step.percentile_of": mark("intensity percentiles %(low)s to %(high)s scaled to 0 to 1"),
    "step.resize_of": mark("resizing to %(size)s pixels"),
    "step.resample_of": mark("resampling to %(spacing)s mm"),
    "step.clip_of": mark("clipping of intensity to %(low)s to %(high)s"),
    # Random changes in training.
    "augmentation.flip_x": mark("mirrored left and right"),
    "augmentation.flip_y": mark("mirrored top and bottom"),
    "augmentation.flip_z": mark("slices backwards"),
    "augmentation.transpose": mark("rows and columns swapped"),
    "augmentation.mirror": mark("mirrored (axes %(size)s)"),
    "augmentation.rotation": mark("turned by up to %(size)s°"),
    "augmentation.tilt": mark("tilted by up to %(size)s°"),
    "augmentation.scale": mark("scaled by up to ±%(percent)s"),
    "augmentation.stretch": mark("stretched by up to ±%(percent)s"),
    "augmentation.shift": mark("shifted by up to %(size)s of the width"),
    "augmentation.elastic": mark("deformed elastically (%(size)s)"),
    "augmentation.thinning": mark("slices dropped (in a share of %(size)s)"),
    "augmentation.brightness": mark("brightness changed by up to ±%(size)s"),
    "augmentation.contrast": mark("contrast changed by up to ±%(size)s"),
    "augmentation.gamma": mark("gamma from %(low)s to %(high)s"),
    "augmentation.tint": mark("colours changed by up to ±%(size)s"),
    "augmentation.erase": mark("a box painted over (in a share of %(size)s)"),
    "augmentation.noise": mark("noise of a standard deviation of up to %(size)s"),
    "augmentation.blur": mark("blurred (%(size)s)"),
    # Why a case could not be used.
    "error.UnreadableFile": mark("damaged or of unknown format"),
    "error.InvalidVoxels": mark("invalid values"),
    "error.EmptyInput": mark("nothing to read"),
    "error.NotApplicable": mark("not of the kind that the plan reads"),
    "error.GeometryError": mark("cannot be placed in space"),
    "error.MissingSpacing": mark("no spacing"),
    "error.DatasetError": mark("a label or mask is wrong"),
    # Figures.
    "metric.kappa_quadratic": mark("Weighted kappa (quadratic)"),
    "metric.mean_absolute_error": mark("Mean difference of grades"),
    "metric.surface_distance": mark("Mean surface distance"),
    "metric.cross_fitted": mark("Cross-fitted"),
}
"""``kind.code`` -> English sentence; parameters as ``%(name)s``."""
