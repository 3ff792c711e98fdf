"""The one code that measures a mask: lesions in mm, and concepts for models in pixels."""

from diaphane.measure.concepts import CONCEPTS, Concept, concept_names, concepts
from diaphane.measure.lesion import Measurements, measure_mask

__all__ = ["CONCEPTS", "Concept", "Measurements", "concept_names", "concepts", "measure_mask"]
