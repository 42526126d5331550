"""Where planes lie on the output grid: an integer factor, the spacing of XY, or any other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoslice.data.grid import check_factor, factor_from_voxel_size
from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError, SettingsError

#: Least and largest ratio of the planes' spacing to that of the output; training covers 2 to 8.
RATIOS = (1.05, 16.0)
#: Positions so close to an output plane, in output planes, are on it.
ON_PLANE = 1e-3


@dataclass(frozen=True)
class Wanted:
    """The spacing along the coarse axis that was asked for: at most one of these.

    Attributes
    ----------
    factor
        Output planes per measured plane.
    isotropic
        Whether it is to be exactly that across the coarse axis.
    spacing
        The spacing itself, in the stack's unit.

    Raises
    ------
    SettingsError
        If several are given, or one is out of range.
    """

    factor: int | None = None
    isotropic: bool = False
    spacing: float | None = None

    def __post_init__(self) -> None:
        """Check that they do not contradict each other."""
        given = {
            "a factor": self.factor is not None,
            "isotropic": self.isotropic,
            "a spacing": self.spacing is not None,
        }
        if sum(given.values()) > 1:
            names = " and ".join(name for name, there in given.items() if there)
            raise SettingsError(
                f"got {names}, expected one of a factor, isotropic and a spacing, which all say "
                "how far output planes are apart; leave the others out"
            )
        if self.factor is not None:
            check_factor(self.factor)
        if self.spacing is not None and not (math.isfinite(self.spacing) and self.spacing > 0):
            raise SettingsError(
                f"got an output spacing of {self.spacing:g}, expected a positive length in the "
                "unit of the voxel size; for example --spacing 0.5"
            )


@dataclass(frozen=True)
class OutputSpacing:
    """Spacing of the output along the coarse axis, and the planes on its grid.

    Attributes
    ----------
    step
        Spacing of the output in the stack's unit; None where that of the planes is unknown.
    ratio
        Spacing of the planes, the median of uneven ones, over it.
    positions
        Of the planes, in output planes, from 0.
    """

    step: float | None
    ratio: float
    positions: tuple[float, ...]

    @property
    def factor(self) -> int:
        """The ratio as an integer of at least 2, for what needs one."""
        return max(2, round(self.ratio))

    @property
    def depth(self) -> int:
        """Number of output planes, the last at or just beyond the last measured one."""
        return math.ceil(self.positions[-1]) + 1

    @property
    def is_even(self) -> bool:
        """Whether every k-th output plane is a measured one."""
        even = tuple(float(i * self.factor) for i in range(len(self.positions)))
        return self.positions == even


def output_spacing(volume: Volume, wanted: Wanted) -> OutputSpacing:
    """Return spacing and positions of planes of a volume that is coarse along Z.

    By default the factor is the integer nearest to Z over XY spacing. With an integer factor, even
    planes are at integers.

    Raises
    ------
    DataError
        If the voxel size is needed and unknown, or the stack is isotropic already.
    SettingsError
        If the ratio is not from 1.05 to 16, where an output spacing was asked for.
    """
    count, z = volume.size("Z"), volume.spacing.get("Z")
    factor = wanted.factor
    if factor is None and not wanted.isotropic and wanted.spacing is None:
        factor = factor_from_voxel_size(_known_size(volume))
    if factor is not None:
        return _spaced(volume, None if z is None else z / factor, float(factor), count)
    if wanted.spacing is None:
        size = _known_size(volume)
        step, ratio = math.sqrt(size.y * size.x), size.z / math.sqrt(size.y * size.x)
        if ratio < RATIOS[0]:
            raise DataError(
                f"{volume.source}: got planes {size.z:g} apart and pixels of {step:g}: the stack "
                f"is isotropic already, expected a ratio of at least {RATIOS[0]:g}; if the voxel "
                "size is wrong, correct it, for example with --voxel-size 4.0,0.83,0.83um"
            )
        name = "isotropic output"
    else:
        if z is None:
            raise unknown_voxel_size(volume)
        step, ratio, name = wanted.spacing, z / wanted.spacing, f"spacing {wanted.spacing:g}"
        if ratio < RATIOS[0]:
            raise SettingsError(
                f"got {name} for planes {z:g} apart, expected at most {z / RATIOS[0]:.4g}, finer "
                "than they are; give a smaller one, in the unit of the voxel size"
            )
    if ratio > RATIOS[1] * (1 + 1e-6):  # spacings are rounded
        raise SettingsError(
            f"got {name}, {ratio:.1f} output planes per measured plane, expected at most "
            f"{RATIOS[1]:g}, as training covers 2 to 8; ask for planes that are further apart, "
            f"for example --spacing {_rounded_up(step * ratio / 8):g}"
        )
    return _spaced(volume, step, ratio, count)


def _spaced(volume: Volume, step: float | None, ratio: float, count: int) -> OutputSpacing:
    """Place the planes on the output grid."""
    uneven, z = volume.z_positions, volume.spacing.get("Z")
    if uneven is None:
        places = np.arange(count) * ratio
    elif z is None:
        places = np.asarray(uneven) * (ratio / float(np.median(np.diff(uneven))))
    else:
        places = np.asarray(uneven) * (ratio / z)
    return OutputSpacing(step, ratio, on_planes(places.tolist()))


def on_planes(places: Sequence[float]) -> tuple[float, ...]:
    """Round positions that are an output plane's but for rounding; none becomes another's."""
    values = np.asarray(places, np.float64)
    whole = np.round(values)
    rounded = np.where(np.abs(values - whole) < ON_PLANE, whole, values)
    kept = values if (np.diff(rounded) <= 0).any() else rounded
    return tuple(map(float, kept))


def _known_size(volume: Volume) -> VoxelSize:
    size = volume.voxel_size
    if size is None:
        raise unknown_voxel_size(volume)
    return size


def unknown_voxel_size(volume: Volume) -> DataError:
    """Return the error of a volume whose file does not say how far apart its voxels are."""
    missing = " and ".join(axis for axis in "ZYX" if axis not in volume.spacing)
    known = ", ".join(f"{a} {volume.spacing[a]:.6g}" for a in "ZYX" if a in volume.spacing)
    told = f" (known: {known})" if known else ""
    return DataError(
        f"{volume.source}: no voxel size along {missing} in its metadata{told}, expected one "
        "along Z, Y and X; look it up in the microscope's settings and give it, for example with "
        "--voxel-size 4.0,0.83,0.83um"
    )


def _rounded_up(value: float) -> float:
    """Round up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
