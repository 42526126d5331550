"""What a prediction was asked for beside the volume, and whether the model can tell it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.errors import SettingsError
from isoslice.inference.passes import Mode
from isoslice.inference.uncertainty import Doubted, restore_with_std
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.networks.error_head import SpreadNetwork, with_head
from isoslice.models.reliability.calibration import Calibration

if TYPE_CHECKING:
    from isoslice.models.files.bundle import ModelBundle

#: Fewest and most samples.
SAMPLES = (2, 1000)


@dataclass(frozen=True)
class Asked:
    """A standard deviation, if `network` and the others are there; from `samples`, if any."""

    config: ModelConfig | None = None
    network: SpreadNetwork | None = None
    calibration: Calibration | None = None
    samples: int = 0
    keep: bool = False

    @property
    def wanted(self) -> bool:
        """Whether there is anything to tell."""
        return self.network is not None

    def restore(
        self,
        planes: NDArray[np.float32],
        grid: PlaneGrid,
        mode: Mode,
        steps: int,
        detail: float | None,
        seed: int,
        *,
        own: bool,
        device: torch.device,
        report: Callable[[float], None],
    ) -> Doubted:
        """See `uncertainty.restore_with_std`."""
        assert self.network is not None
        assert self.config is not None
        assert self.calibration is not None
        return restore_with_std(
            self.network.to(device),
            self.config,
            self.calibration,
            planes,
            grid,
            mode=mode,
            evaluations=steps,
            detail=detail,
            seed=seed,
            samples=self.samples,
            keep=self.keep,
            own=own,
            device=device,
            report=report,
        )


def resolve_asked(
    model: ModelBundle,
    mode: Mode,
    detail: float | None,
    uncertainty: bool,
    samples: int,
    keep: bool,
    blur: bool,
) -> Asked:
    """Check what was asked for; see `check_asked` and `check_knows`."""
    check_asked(model.config, mode, detail, uncertainty, samples, keep, blur)
    if not (uncertainty or samples):
        return Asked()
    check_knows(model)
    assert isinstance(model.config, ModelConfig)
    assert model.head is not None
    network = with_head(model.network, model.head)
    return Asked(model.config, network, model.trust.calibration, samples, keep)


def check_asked(
    config: AnyConfig,
    mode: Mode | None,
    detail: float | None,
    uncertainty: bool,
    samples: int,
    keep: bool,
    blur: bool,
) -> None:
    """Check options against each other and the recipe; `mode` and `detail` None as by default.

    Raises
    ------
    SettingsError
        If they contradict each other.
    """
    if keep and not samples:
        raise SettingsError("got samples to be kept, but none to draw, expected how many; name it")
    if samples and not SAMPLES[0] <= samples <= SAMPLES[1]:
        raise SettingsError(
            f"got {samples} sample(s), expected {SAMPLES[0]} to {SAMPLES[1]}; one says nothing "
            "about their spread"
        )
    if samples and (mode == "mean" or detail == 0):
        raise SettingsError(
            "got samples to draw in mode mean, or without detail, expected detail to sample; leave "
            "the mode out, or ask for the uncertainty instead"
        )
    if not (uncertainty or samples):
        return
    if blur:
        raise SettingsError(
            "got blur with uncertainty or samples, which describe volumes as they were restored; "
            "leave the blur out"
        )
    if not isinstance(config, ModelConfig):
        raise SettingsError(
            f"got a {config.recipe} model, which does not know its errors, expected one of the "
            "preset isoslice; leave uncertainty and samples out, or train one"
        )


def check_knows(model: ModelBundle) -> None:
    """Raise `SettingsError` if a model of the preset isoslice doesn't know its errors."""
    if model.head is None or model.trust.calibration is None:
        raise SettingsError(
            "got a model that does not know its errors, of an earlier version or of tiny images, "
            "expected one trained by this version; make one with 'isoslice train IMAGES --from "
            "MODEL -o NEW'"
        )
