"""Learning to segment: plan, patches, loop, judgement, bundle. Needs torch."""

from diaphane.learn.segmenting.planning import decide_segmentation
from diaphane.learn.segmenting.plans import SegmentationPlan

__all__ = ["SegmentationPlan", "decide_segmentation"]
