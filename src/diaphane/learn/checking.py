"""Whether a plan can be obeyed: said before anything is read, naming the file and the key."""

from __future__ import annotations

from pathlib import Path

from diaphane.core.errors import PlanError, RecipeError
from diaphane.learn.costing import machine_memory, step_memory
from diaphane.learn.network import network_config
from diaphane.learn.plan_file import read_values
from diaphane.learn.plans import Plan
from diaphane.learn.segmenting.network import network_config as segmenter_config
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.preprocess import Recipe

_REMEDY = "Correct it, or write a fresh plan with 'diaphane plan'."


def read_plan(path: str | Path) -> Plan | SegmentationPlan:
    """Read, validate and check a ``plan.yaml`` of either kind, by its ``task``.

    Raises
    ------
    PlanError
        The file cannot be read, is not YAML, a key is unknown or wrong, or the plan cannot be
        obeyed; the file and the key are named.
    """
    place = Path(path)
    values = read_values(place)
    segmenting = values.get("task") == "segmentation"
    made: Plan | SegmentationPlan = (
        SegmentationPlan.from_dict(values, place) if segmenting else Plan.from_dict(values, place)
    )
    check_plan(made, place)
    return made


def check_plan(
    plan: Plan | SegmentationPlan, path: Path | None = None, *, memory: float | None = None
) -> None:
    """Refuse a plan that cannot be obeyed.

    Parameters
    ----------
    path:
        The plan's file, for the message.
    memory:
        Bytes that one step of training may take; those of this machine if ``None``.

    Raises
    ------
    PlanError
        A step of the recipe is wrong, sizes do not fit each other, or a step takes more memory
        than there is.
    """
    try:
        Recipe.from_dict(plan.recipe)
    except RecipeError as error:
        raise PlanError(
            f"plan key 'recipe': {error.problem}", path=path, remedy=error.remedy or _REMEDY
        ) from error
    try:
        if isinstance(plan, SegmentationPlan):
            segmenter_config(plan)
            every: list[Plan | SegmentationPlan] = [plan]
        else:
            _check_frame(plan)
            every = [plan, *(plan.family(name) for name in plan.families)]
            for one in every:
                assert isinstance(one, Plan)
                network_config(one)
    except PlanError as error:
        raise PlanError(error.problem, path=path, remedy=error.remedy or _REMEDY) from error
    room = machine_memory() if memory is None else memory
    needed = max(step_memory(one) for one in every)
    if needed > room:
        patch = "patch" if isinstance(plan, SegmentationPlan) else "input.size"
        raise PlanError(
            f"plan keys 'batch' and '{patch}': a step of training takes about {needed / 1e9:.1f} GB, "
            f"and there are {room / 1e9:.1f} GB.",
            path=path,
            remedy=f"Make 'batch' or '{patch}' smaller.",
        )


def _check_frame(plan: Plan) -> None:
    """Refuse what only a square frame allows, and slices for a single image."""
    height, width = plan.input.size
    if plan.augmentation.transpose and height != width:
        raise PlanError(
            f"plan key 'augmentation.transpose': a frame of {height} x {width} is not square."
        )
    if plan.input.kind == "image" and plan.input.max_slices != 1:
        raise PlanError("plan key 'input.max_slices': a single image has one slice.")
