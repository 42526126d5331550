"""One fixed classical pipeline that finds bodies in 3D, and its constants for each specimen."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import isotropic_erosion
from skimage.segmentation import expand_labels


@dataclass(frozen=True)
class Recipe:
    """What to look for; lengths in voxels, which are isotropic in all volumes segmented.

    Attributes
    ----------
    what
        Name of the bodies.
    bright
        Whether they are brighter than their surroundings.
    smooth
        Deviation of the Gaussian before the threshold.
    threshold
        Intensity of the smoothed volume between bodies and surroundings: a fixed one, the same
        for the truth and for every method, as for any two volumes of one instrument.
    radius
        Of the opening: what is thinner than twice this is no body, and a neck that is splits two.
    smallest
        Voxels of the smallest body.
    step
        Every how many voxels along Y and X are looked at once the volume is smooth, for speed.
    reason
        Why these constants.
    """

    what: str
    bright: bool
    smooth: float
    threshold: float
    radius: float
    smallest: int
    step: int
    reason: str

    @property
    def key(self) -> str:
        """Name of what is found with it: other constants find something else."""
        constants = repr(astuple(self)[:-1])
        return f"{self.what} {hashlib.sha256(constants.encode()).hexdigest()[:8]}"


#: Chosen by eye on the truth of what is trained on, never on a restored volume.
RECIPES: dict[str, tuple[Recipe, ...]] = {
    "fib25": (
        Recipe(
            "mitochondria",
            bright=False,
            smooth=2.5,
            threshold=100,
            radius=7,
            smallest=5_000,
            step=2,
            reason="chosen on fib25_a: mitochondria are evenly dark, about 80, in cytoplasm of 110 "
            "to 170; 20 nm of smoothing ends the noise; membranes are thinner than 112 nm; "
            "smaller than 0.0026 cubic micrometres are synaptic densities",
        ),
        Recipe(
            "neurites",
            bright=True,
            smooth=1.5,
            threshold=130,
            radius=5,
            smallest=3_000,
            step=1,
            reason="chosen on fib25_a: cytoplasm is brighter than 130, the membranes around it "
            "are darker and about 40 nm thick, so that 12 nm of smoothing keeps them; smaller "
            "openings join most neurites through gaps in membranes, larger ones lose the thin",
        ),
    ),
    "lucchi": (
        Recipe(
            "mitochondria",
            bright=False,
            smooth=6,
            threshold=132,
            radius=22,
            smallest=100_000,
            step=2,
            reason="chosen on the first half: mitochondria are about 125 between cristae of 110 "
            "and 150, in cytoplasm of 165; 30 nm of smoothing joins cristae; two membranes side "
            "by side and vesicles are thinner than 220 nm; smaller than 0.0125 cubic micrometres "
            "are synaptic densities",
        ),
        Recipe(
            "membranes",
            bright=False,
            smooth=2,
            threshold=130,
            radius=0,
            smallest=2_000,
            step=1,
            reason="chosen on the first half: all that is dark, which is membranes, reticulum, "
            "vesicles, mitochondria; 10 nm of smoothing ends the noise and keeps membranes, which "
            "are about 110 in cytoplasm of 165, and one or two of them 30 to 60 nm thick",
        ),
    ),
    "mouse_ct": (
        Recipe(
            "bone",
            bright=True,
            smooth=0.5,
            threshold=30,
            radius=0,
            smallest=30,
            step=1,
            reason="chosen on mouse_ct_0: soft tissue is 5 to 15, bone 40 to 150; plates are one "
            "to three voxels thick, so that there is no opening and hardly any smoothing; smaller "
            "than 30 voxels are specks",
        ),
    ),
    "nuclei": (
        Recipe(
            "nuclei",
            bright=True,
            smooth=2,
            threshold=9_000,
            radius=9,
            smallest=4_000,
            step=1,
            reason="chosen on the stack itself, as there is one only: background is below 6,000, "
            "most nuclei about 13,000; 0.5 micrometres of smoothing joins chromatin; nuclei are "
            "at least 4.9 micrometres thick, and their contacts thinner",
        ),
    ),
}


def segment(volume: NDArray[Any], recipe: Recipe) -> NDArray[np.int32]:
    """Find bodies in a volume.

    It is smoothed, held against the threshold, and eroded by a ball; connected remains (26
    neighbours) are the bodies, which grow back as far as the ball reaches, each on its own side
    where two meet; small ones are left out.

    Parameters
    ----------
    volume
        (Z, Y, X), isotropic; intensities as in the recipe.

    Returns
    -------
    Labels 1, 2, … of the bodies, 0 elsewhere: (Z, Y, X), of every `step`-th row and column.
    """
    smooth = ndimage.gaussian_filter(volume.astype(np.float32), recipe.smooth, truncate=3)
    smooth = smooth[:, :: recipe.step, :: recipe.step]
    inside = smooth > recipe.threshold if recipe.bright else smooth < recipe.threshold
    neighbours, spacing = np.ones((3, 3, 3), bool), (1, recipe.step, recipe.step)
    # Without surroundings there is no distance to them.
    core = inside if inside.all() else isotropic_erosion(inside, recipe.radius, spacing=spacing)
    labels = ndimage.label(core, neighbours)[0]
    if recipe.radius:
        labels = expand_labels(labels, recipe.radius, spacing=spacing)
    return without_small(labels, recipe.smallest // recipe.step**2)


def without_small(labels: NDArray[Any], smallest: int) -> NDArray[np.int32]:
    """Leave out bodies of fewer voxels than `smallest` and number the others from 1."""
    sizes = np.bincount(labels.ravel())
    kept = sizes >= smallest
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    found: NDArray[np.int32] = numbers[labels]
    return found
