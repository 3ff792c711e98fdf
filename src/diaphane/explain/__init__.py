"""Evidence maps, slice attention, occlusion, and tests of whether they are faithful."""

from diaphane.explain.faithfulness import faithfulness
from diaphane.explain.maps import (
    SliceWeight,
    contribution_maps,
    native_map,
    slice_attention,
    upsample,
)
from diaphane.explain.occlusion import Occlusion, occlude
from diaphane.explain.order import OrderCurves, order_curves
from diaphane.explain.randomise import map_agreement, shuffled_runner

__all__ = [
    "Occlusion",
    "OrderCurves",
    "SliceWeight",
    "contribution_maps",
    "faithfulness",
    "map_agreement",
    "native_map",
    "occlude",
    "order_curves",
    "shuffled_runner",
    "slice_attention",
    "upsample",
]
