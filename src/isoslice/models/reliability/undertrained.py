"""Detect models that are no better than linear interpolation, by their own validation.

At the end of training, hidden rows of held-out images are restored (`validation`), and the scores
are kept in the training record. A model that does not beat linear interpolation there was trained
too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from isoslice.models.config import AnyConfig

#: Least gain over linear interpolation in dB; an untrained model is equal to it.
MIN_GAIN_DB = 0.02


def gains_over_linear(config: AnyConfig, record: Mapping[str, Any]) -> dict[int, float]:
    """Return the gain in PSNR over linear interpolation in dB, by increasing factor.

    Parameters
    ----------
    config
        The model's settings.
    record
        Its training record (`training.json`), which is not trusted.

    Returns
    -------
    Empty without held-out images, or if the recipe has no mean: the PSNR of a sample is below that
    of the mean, however accurate the model.
    """
    scores = record.get("validation")
    if not config.has_mean or not isinstance(scores, Mapping):
        return {}
    gains = {}
    for factor, score in scores.items():
        if not (isinstance(score, Mapping) and str(factor).isdecimal() and int(factor) >= 2):
            continue
        ours, linear = (score.get(name, math.nan) for name in ("psnr", "linear_psnr"))
        if all(isinstance(x, int | float) and math.isfinite(x) for x in (ours, linear)):
            gains[int(factor)] = float(ours) - float(linear)
    return dict(sorted(gains.items()))


def undertrained(config: AnyConfig, record: Mapping[str, Any], factor: int) -> str | None:
    """Return a warning if a model is no better than linear interpolation, else None.

    Uses the validated factor nearest to `factor`, by their ratio.
    """
    gains = gains_over_linear(config, record)
    if not gains:
        return None
    nearest = min(gains, key=lambda known: abs(math.log(known / factor)))
    gain = gains[nearest]
    if gain >= MIN_GAIN_DB:
        return None
    much = f"{-gain:.2g} dB worse" if gain <= -MIN_GAIN_DB else "no better"
    return (
        f"the model is {much} than linear interpolation on hidden rows of images of its own kind "
        f"at {nearest}x: it was trained too little; train it longer with "
        "'isoslice train IMAGES --from MODEL --minutes N -o NEW'"
    )
