"""How each kind of model restores: the only place that tells recipes apart in prediction."""

from __future__ import annotations

from isoslice.inference.recipes.masked import EndToEndRecipe, MaskedDiffusionRecipe
from isoslice.inference.recipes.protocol import Recipe
from isoslice.inference.recipes.residual import ResidualRecipe
from isoslice.models.config import AnyConfig, ModelConfig, MsdsrConfig

__all__ = ["Recipe", "recipe_of"]


def recipe_of(config: AnyConfig) -> Recipe:
    """Return the recipe of a model with these settings."""
    if isinstance(config, ModelConfig):
        return ResidualRecipe(config)
    if isinstance(config, MsdsrConfig):
        return MaskedDiffusionRecipe(config)
    return EndToEndRecipe(config)
