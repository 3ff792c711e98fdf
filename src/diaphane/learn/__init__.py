"""From a dataset to a trained, tested and shippable model. Needs torch.

fingerprint -> plan -> loop -> run folder -> bundle.
"""

from diaphane.learn.augment import Augmentation
from diaphane.learn.fingerprint import Fingerprint
from diaphane.learn.planning import Planned, plan, read_plan
from diaphane.learn.plans import Plan
from diaphane.learn.pretraining import pretrain
from diaphane.learn.runs import Run
from diaphane.learn.training import TrainOptions, train

__all__ = [
    "Augmentation",
    "Fingerprint",
    "Plan",
    "Planned",
    "Run",
    "TrainOptions",
    "plan",
    "pretrain",
    "read_plan",
    "train",
]
