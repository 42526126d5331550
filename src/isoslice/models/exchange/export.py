"""Export a model as a package of bioimage.io, which other programs run without isoslice."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.torch import save

from isoslice.data.volume import Volume
from isoslice.errors import ModelError, SettingsError
from isoslice.io.atomic import atomic_output
from isoslice.io.reading import open_volume
from isoslice.models.config import ModelConfig
from isoslice.models.exchange import example
from isoslice.models.exchange.about import FACTORS, USUAL_FACTOR, About
from isoslice.models.exchange.architecture import architecture_source
from isoslice.models.exchange.description import architecture_settings, describe
from isoslice.models.exchange.documentation import documentation
from isoslice.models.exchange.expected import ExpectedVolume
from isoslice.models.exchange.layout import (
    COVER,
    DESCRIPTION,
    INPUT,
    OUTPUT,
    PREFIX,
    PROGRAM,
    README,
    SAMPLE_INPUT,
    SAMPLE_OUTPUT,
    WEIGHTS,
)
from isoslice.models.files.bundle import CONFIG, RECORD, SPREAD, TRUST, ModelBundle, stored
from isoslice.models.files.card import check_record
from isoslice.runtime.paths import at_home


def export_bioimageio(
    model: ModelBundle,
    path: str | Path,
    factor: int | None = None,
    *,
    name: str | None = None,
    authors: Sequence[str] = (),
    license: str | None = None,
    tags: Sequence[str] = (),
    sample: Volume | str | Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model as a package of bioimage.io, format 0.5, that restores expected volumes.

    A package has its program beside its weights and needs PyTorch alone. It gives what
    `Model.predict` gives in mode ``mean`` with one factor, of whole stacks of evenly spaced, sharp
    planes. Everything else that the model knows goes with it, for `import_bioimageio`.

    Parameters
    ----------
    model
        Of isoslice's own recipe; distilled ones too, and with any number of channels.
    path
        Of the package, ``.zip``.
    factor
        Output planes for each of a stack, 2 to 64; by default that of the stacks that the model
        learned for, if it knows, else 4.
    name
        For people, 5 to 128 letters, digits, spaces and ``_+-()``.
    authors, license
        Who made the model, and an identifier of spdx.org, such as ``CC-BY-4.0``: to be stated
        before a package is published.
    tags
        By which others find it, such as ``electron-microscopy``.
    sample
        A stack, coarse along Z, to show in the package and to test it with, of which a small part
        is stored in it; by default random texture.
    overwrite
        Replace an existing file.

    Raises
    ------
    ModelError
        If the model is of the paper's recipes, or for SRH.
    SettingsError, DataError
        If an option is out of range, or the sample does not fit.
    OutputError
        If the file exists, or cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from zipfile import ZipFile
    >>> import isoslice
    >>> with TemporaryDirectory() as folder:
    ...     package = Path(folder, "any.zip")
    ...     isoslice.export_bioimageio(isoslice.Model.pretrained(), package, factor=4)
    ...     names = ZipFile(package).namelist()
    >>> "bioimageio.yaml" in names
    True
    """
    path, config = at_home(Path(path)), exportable(model)
    if path.suffix != ".zip":
        raise SettingsError(f"{path}: got a package with suffix {path.suffix!r}, expected .zip")
    factor = usual_factor(config) if factor is None else factor
    if factor not in FACTORS:
        raise SettingsError(f"got factor {factor}, expected {FACTORS[0]} to {FACTORS[-1]}")
    about = About(
        name or f"isoslice {factor}x {model.fingerprint}", tuple(authors), license, tuple(tags)
    )
    files = package_files(model, config, factor, about, sample)
    with atomic_output(path, overwrite) as draft, zipfile.ZipFile(draft, "w") as archive:
        for file, content in files.items():
            entry = zipfile.ZipInfo(file)  # dated 1980, so that the same model gives the same file
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)


def exportable(model: ModelBundle) -> ModelConfig:
    """Return a model's settings, if it can be exported.

    Raises
    ------
    ModelError
        If it cannot.
    """
    config = model.config
    if not isinstance(config, ModelConfig):
        lacks = "no mean" if not config.has_mean else "a network that depends on its tiles"
        raise ModelError(
            f"got a model of the preset {config.recipe}, which has {lacks}; expected one of "
            "isoslice's own recipe, whose mean a package restores; train one without --preset"
        )
    if config.srh:
        raise ModelError(
            "got a model for SRH, whose channels are computed from others first, expected one that "
            "takes a stack as it is; a package cannot do that yet"
        )
    try:
        check_record(config, model.info)
    except ValueError as error:
        raise ModelError(
            f"got a training record that cannot be told ({error}), expected one that isoslice "
            "wrote; restore the model's training.json, or remove it"
        ) from error
    return config


def usual_factor(config: ModelConfig) -> int:
    """Return how many rows apart the planes are that a model learned for; 4 where it can't tell."""
    own, known, pixel = config.training.own_planes, config.slice_profile, config.pixel_size
    rows = float(USUAL_FACTOR)
    if own is not None:
        rows = own.distance
    elif known is not None and pixel is not None and known.unit == config.unit:
        rows = median(known.spacings) / (pixel[0] * pixel[1]) ** 0.5 / config.training.row_spacing
    return min(max(round(rows), FACTORS[0]), FACTORS[-1])


def package_files(
    model: ModelBundle,
    config: ModelConfig,
    factor: int,
    about: About,
    sample: Volume | str | Path | None,
) -> dict[str, bytes]:
    """Make all files of a package, by name; the description comes first."""
    channels = config.network.channels
    if isinstance(sample, str | Path):
        sample = open_volume(sample)
    stack = (
        example.invented_stack(channels, factor)
        if sample is None
        else example.stack_from(sample, channels, factor)
    )
    volume = _restored(model, config, factor, stack)
    weights = io.BytesIO()
    torch.save({f"{PREFIX}{key}": each for key, each in stored(model.network).items()}, weights)
    files = {
        README: documentation(model, config, factor, about).encode(),
        PROGRAM: architecture_source().encode(),
        WEIGHTS: weights.getvalue(),
        INPUT: example.as_npy(stack[None]),
        OUTPUT: example.as_npy(volume[None]),
        SAMPLE_INPUT: example.as_tiff(stack, factor),
        SAMPLE_OUTPUT: example.as_tiff(volume, 1.0),
        COVER: example.cover(stack, volume),
        CONFIG: config.model_dump_json(indent=2).encode(),
        RECORD: json.dumps(dict(model.info), indent=2).encode(),
        TRUST: model.trust.model_dump_json(indent=1).encode(),
    }
    if model.head is not None:
        files[SPREAD] = save(stored(model.head))
    described = describe(model, config, factor, about, files)
    # JSON is YAML, too.
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    return {DESCRIPTION: text.encode(), **files}


def _restored(
    model: ModelBundle, config: ModelConfig, factor: int, stack: example.Floats
) -> example.Floats:
    """Restore a stack (C, n, Y, X) by the package's own program."""
    network = ExpectedVolume(**architecture_settings(config, factor)).eval()
    network.denoiser.load_state_dict(stored(model.network))
    with torch.inference_mode():
        volume: example.Floats = network(torch.from_numpy(stack)[None])[0].numpy()
    if not np.isfinite(volume).all():
        raise ModelError(
            "got a model that restores voxels that are not finite, expected numbers; train it again"
        )
    return volume
