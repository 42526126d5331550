"""What is measured on a whole stack once, before any part of it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from isoslice.data.volume import Volume
from isoslice.inference.inspection import Inspection, diagnose, inspect, warn_of
from isoslice.inference.options import PredictOptions
from isoslice.inference.plan import Plan, plan_restoration
from isoslice.inference.recipes import recipe_of
from isoslice.inference.stack import Stack, stack_to_restore
from isoslice.inference.stored_profile import choose_profile
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.progress import Progress
from isoslice.viewer.messages import Settings


@dataclass(frozen=True)
class PreparedStack:
    """A stack with all that its restoration is settled by.

    Attributes
    ----------
    stack
        The stack, its coarse axis called Z.
    inspection
        What was measured on it.
    model, plan
        The model, and the plan of its restoration.
    """

    stack: Stack
    inspection: Inspection
    model: ModelBundle
    plan: Plan


def predict_options(
    settings: Settings, detail: float | None = None, *, uncertainty: bool = False
) -> PredictOptions:
    """Return the options of a prediction that settings ask for."""
    return PredictOptions(
        slice_profile=settings.profile,
        missing=settings.missing or "auto",
        detail=detail,
        uncertainty=uncertainty,
    )


def prepare_stack(
    given: Volume, model: ModelBundle, settings: Settings, progress: Progress
) -> PreparedStack:
    """Measure a stack (any axes, opened or in memory), and settle how it is restored.

    As `Model.predict` does: the same intensities, units, lost planes and slice profile.

    Raises
    ------
    DataError, SettingsError
        As `Model.predict`.
    """
    recipe = recipe_of(model.config)
    options = recipe.resolve(predict_options(settings))
    wanted = options.wanted(settings.factor)
    stack = stack_to_restore(given, model.config, wanted, progress, settings.along)
    inspection = inspect(stack.volume, model.config, progress, options.missing_planes)
    blurred = choose_profile(options, model.config, stack.volume).blurred
    found = diagnose(stack.volume, stack.factor, model, inspection, blurred=blurred)
    plan = plan_restoration(stack, inspection, model, options, warn_of(found), progress)
    return PreparedStack(stack, inspection, model, plan)
