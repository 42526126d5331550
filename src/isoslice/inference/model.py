"""A trained model: load, save, predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from isoslice.data.missing import parse_missing
from isoslice.data.profile import Profile
from isoslice.data.volume import Volume, parse_voxel_size
from isoslice.errors import SettingsError
from isoslice.inference.engine.begin import Request
from isoslice.inference.engine.predict import predict_file, predict_volume
from isoslice.inference.engine.run import How
from isoslice.inference.engine.slabs import parse_memory
from isoslice.inference.options import PredictOptions
from isoslice.inference.prediction import Prediction
from isoslice.inference.stack import as_volume
from isoslice.io.options import Positions, ReadOptions, given_positions
from isoslice.io.reading import open_volume
from isoslice.models.choices import Direction, Mode
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.paths import at_home
from isoslice.runtime.progress import Progress
from isoslice.runtime.threads import threads_each

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Model(ModelBundle):
    """A trained model: load, save, predict.

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
    >>> model = isoslice.Model.pretrained()
    >>> model.predict(planes, axes="ZYX", factor=2).volume.shape
    (7, 40, 40)
    """

    def predict(
        self,
        stack: NDArray[Any] | Volume | str | Path,
        axes: str | None = None,
        voxel_size: Sequence[float] | None = None,
        factor: int | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        mode: Mode | None = None,
        detail: float | None = None,
        direction: Direction = "both",
        blur: bool = False,
        uncertainty: bool = False,
        samples: int = 0,
        keep_samples: bool = False,
        slice_profile: str | Path | Profile | None = None,
        denoise: bool = False,
        isotropic: bool = False,
        spacing: float | None = None,
        positions: Positions | None = None,
        missing: str | Sequence[int] | None = None,
        device: str = "auto",
        progress: Progress | None = None,
        along: str | None = None,
        output: str | Path | None = None,
        overwrite: bool = False,
        memory: str | int | None = None,
        workers: int = 1,
        scheduler: str | None = None,
        resume: bool = False,
    ) -> Prediction:
        """Restore an anisotropic stack to an isotropic volume.

        Voxels without data stay without: where both measured planes around are NaN, infinite, or
        exactly 0 outside the field of view. Blank and damaged planes between others are taken as
        lost and restored. A model of one channel restores each of several by itself.

        Parameters
        ----------
        stack
            Voxels, a `Volume` as `isoslice.read_volume` gives it, or the path of an image; with a
            Z axis of at least two planes, any of T and C beside it, and the model's channels.
        axes
            Axes of an array, one letter of TCZYX per dimension; needed unless `stack` is a Volume.
        voxel_size
            Spacing along Z, Y and X; overrides the Volume's own.
        factor
            Output planes per measured plane; by default the nearest integer to Z over XY spacing.
        steps
            Network evaluations per voxel: 5 by default, at least 3 in mode ``sample`` (``mean``
            takes 2). For a model of the preset msdsr: DDIM steps in each direction, 200 by default.
        seed
            Of the sampling noise: same seed, same result.
        mode
            ``sample``: one volume as sharp as the training images, its detail invented.
            ``mean``: the expected volume, smoother, with the highest PSNR.
            By default what the model can do, a sample if both; msdsr has no mean, the end-to-end
            U-Net no sample.
        detail
            How much of the sample's detail is kept: from 0, the mean and most faithful, to 1, the
            default and most realistic. Fine detail comes first, then what the specimen needs of the
            coarse.
        direction
            Of msdsr and the end-to-end U-Net: slices to restore, for ablations; by default both,
            averaged.
        blur
            Blur the result by the paper's Gaussian (3 x 3 x 3 voxels, sigma 0.5); measured planes
            stay as they are.
        uncertainty
            Tell the standard deviation of every voxel too, from two more evaluations a voxel.
        samples
            Draw so many samples, at least 2, with the seeds `seed`, `seed` + 1, ...: the volume is
            the mean then, and their spread goes into its standard deviation.
        keep_samples
            Return them too.
        slice_profile
            What a plane sees along Z: ``point``; ``slab``, from plane to plane, or ``slab:WIDTH``,
            such as a CT's slice thickness; ``gaussian:FWHM``, such as a microscope's point spread
            function along Z beyond that in XY; ``auto``, found from the stack; the path of a file
            of a measured one, see docs/explanation/measurement.md; or a `Profile`. Lengths in the
            unit of the voxel size. The blur is undone so far that the result, seen through it,
            gives the measured planes again. By default what the model stores of its training
            stacks, for stacks with planes as far apart, else ``point``.
        denoise
            Restore measured planes too, freed of their noise, which is measured; else they come
            back bit for bit, as rows of grain in a smooth mean.
        isotropic
            Restore exactly the spacing across the coarse axis, in place of an integer factor.
        spacing
            Output spacing along the coarse axis, in the unit of the voxel size, in place of a
            factor.
        positions
            Where the planes are along Z, rising, in the unit of the voxel size; overrides the
            Volume's own. ``"even"`` takes them as evenly spaced whatever the file says.
        missing
            Planes to restore from the others, at all time points and in all channels: numbers,
            counted from 0, or text such as ``12,40-42``, beside those that are found (blank,
            frozen, saturated, out of line in brightness or content). ``none``: all planes are
            sound; ``none,12``: all but this one.
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress
            Receives notes and progress; silent by default.
        along
            The axis that is coarse: ``Z``, ``Y`` or ``X``; by default what the voxel size says.
        output
            Path that the volume is written to, of a stack given by its path; standard deviations
            and samples go beside it. Its size is not limited by the memory then, and the result's
            voxels are read from there where they are indexed.
        overwrite
            Replace an existing output.
        memory
            What each process may take, such as ``4GB``, with `output`.
        workers, scheduler
            Processes on this machine, or the address of a Dask scheduler, with `output`.
        resume
            Go on with what an interrupted run left of `output`.

        Returns
        -------
        The volume with its axes, new voxel size, factor and provenance.

        Raises
        ------
        DataError
            If the stack cannot be used: axes, channels, planes, values, spacing.
        SettingsError
            If an option is out of range, or the volume does not fit into memory.
        OutputError
            If the output exists, or cannot be written.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
        >>> model = isoslice.Model.pretrained()
        >>> result = model.predict(planes, axes="ZYX", voxel_size=(3, 1, 1), mode="mean")
        >>> result.factor, result.volume.shape, result.voxel_size
        (3, (10, 40, 40), VoxelSize(z=1.0, y=1.0, x=1.0))
        >>> bool((result.volume[::3] == planes).all())
        True
        """
        options = PredictOptions(
            mode=mode,
            steps=steps,
            detail=detail,
            seed=seed,
            direction=direction,
            blur=blur,
            uncertainty=uncertainty,
            samples=samples,
            keep_samples=keep_samples,
            slice_profile=str(slice_profile) if isinstance(slice_profile, Path) else slice_profile,
            denoise=denoise,
            isotropic=isotropic,
            spacing=spacing,
            missing=str(parse_missing(missing)),
        )
        wanted = options.wanted(factor)
        progress = progress or Progress()
        if output is None:
            if memory is not None or workers > 1 or scheduler is not None or resume or overwrite:
                raise SettingsError(
                    "got memory, workers, scheduler, resume or overwrite without output, expected "
                    "the path of an output for them; add output=PATH"
                )
            if isinstance(stack, str | Path):
                stack = open_volume(stack, axes, voxel_size, positions=positions)
                axes = voxel_size = positions = None
            given = as_volume(stack, axes, voxel_size, positions)
            return predict_volume(self, given, options, wanted, device, progress, along)
        how = How(workers, scheduler, resume=resume, overwrite=overwrite)
        size = None if voxel_size is None else parse_voxel_size(voxel_size)
        request = Request(
            stack=_path_of(stack),
            model=self,
            output=at_home(Path(output)),
            reading=ReadOptions(axes=axes, voxel_size=size, positions=given_positions(positions)),
            options=options,
            factor=factor,
            along=along,
            device=device,
            memory=parse_memory(memory) if isinstance(memory, str) else memory,
            threads=threads_each(workers),
        )
        prediction = predict_file(request, how, progress).prediction
        assert prediction is not None  # only parts end without
        return prediction


def _path_of(stack: object) -> Path:
    if not isinstance(stack, str | Path):
        raise SettingsError(
            "got an output for voxels in memory, expected the path of a stack; write what is "
            "returned with isoslice.write_volume"
        )
    return at_home(Path(stack))
