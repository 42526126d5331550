"""Is a model better than linear interpolation at all? Its own validation says so.

At the end of a training hidden rows of held-out images are restored (`validation`), and the scores
are kept in the model's record. A model that does not beat linear interpolation there was trained
for too short a time; what it makes of a stack is no better than what costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from isoslice.models.config import AnyConfig, MsdsrConfig

#: A model has to be better by so many dB; one that has learned nothing yet interpolates linearly.
LEAST_GAIN = 0.02


def compared_with_linear(config: AnyConfig, record: Mapping[str, Any]) -> dict[int, float]:
    """Tell by how many dB a model is better than linear interpolation, by rising factor.

    Parameters
    ----------
    config
        The model's settings.
    record
        Of its training (`training.json`); not trusted.

    Returns
    -------
    Nothing where there were no held-out images, or the recipe has no mean: a sample, as accurate as
    it may be, has a lower PSNR than its mean.
    """
    scores = record.get("validation")
    if isinstance(config, MsdsrConfig) or not isinstance(scores, Mapping):
        return {}
    found = {}
    for factor, score in scores.items():
        if not (isinstance(score, Mapping) and str(factor).isdecimal() and int(factor) >= 2):
            continue
        ours, linear = (score.get(name, math.nan) for name in ("psnr", "linear_psnr"))
        if all(isinstance(x, int | float) and math.isfinite(x) for x in (ours, linear)):
            found[int(factor)] = float(ours) - float(linear)
    return dict(sorted(found.items()))


def undertrained(config: AnyConfig, record: Mapping[str, Any], factor: int) -> str | None:
    """Say that a model is worse than linear interpolation, or no better; None if all is well.

    At the factor that was measured nearest to the wanted one, by their ratio.
    """
    gains = compared_with_linear(config, record)
    if not gains:
        return None
    nearest = min(gains, key=lambda known: abs(math.log(known / factor)))
    gain = gains[nearest]
    if gain >= LEAST_GAIN:
        return None
    much = f"{-gain:.2g} dB worse" if gain <= -LEAST_GAIN else "no better"
    return (
        f"the model is {much} than linear interpolation on hidden rows of images of its own kind "
        f"at {nearest}x: it was trained too little; train it longer with "
        "'isoslice train IMAGES --from MODEL --minutes N -o NEW'"
    )
