"""The model card: README.md in a model folder, with training data and validation scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isoslice.io.decode_errors import reason
from isoslice.models.config import AnyConfig
from isoslice.models.reliability.undertrained import MIN_GAIN_DB, gains_over_linear


def model_card(config: AnyConfig, info: Mapping[str, Any]) -> str:
    """Write the card from a model's configuration and training record (`training.json`)."""
    unit = config.unit or "unknown unit"
    pixel = "unknown"
    if config.pixel_size is not None:
        pixel = f"{config.pixel_size[0]:g} x {config.pixel_size[1]:g} {unit} (Y, X)"
    origins = {
        "continued_from": "continued from the model {}",
        "teacher": "distilled from the model {}, two evaluations a voxel",
    }
    lines = [
        "# An isoslice model",
        "",
        "Restores isotropic volumes from z-stacks that are sharp in XY and coarse in Z. It was",
        "trained on 2D images alone.",
        "",
        "    isoslice predict STACK -m THIS_FOLDER -o OUT.ome.zarr",
        "",
        "## Read this first",
        "",
        "**Detail between the measured planes is invented.** It is what the training images make",
        "plausible, not a measurement. Measured planes pass through unchanged. Do not count,",
        "measure or diagnose from structures that exist only between them, and do not use the",
        "model on specimens, stains or instruments unlike its training images.",
        "",
        "## Training data",
        "",
        *_sources(info),
        f"- {info.get('planes', '?')} planes, {config.network.channels} channel(s)",
        f"- pixel size: {pixel}",
        *(
            []
            if config.slice_profile is None
            else [f"- slice profile: {config.slice_profile.told}"]
        ),
        "",
        "## Normalisation",
        "",
        *_normalisation(config, listed=bool(info.get("intensities"))),
        "",
        *(
            f"- stack {i}: {', '.join(f'{a:g} to {b:g}' for a, b in pairs)}"
            for i, pairs in enumerate(info.get("intensities", [])[:20])
        ),
        "",
        "## Training",
        "",
        f"- recipe {config.recipe}",
        *(f"- {text.format(info[key])}" for key, text in origins.items() if key in info),
        f"- isoslice {info.get('isoslice', '?')}, PyTorch {info.get('torch', '?')}, "
        f"{info.get('device', '?')}",
        f"- {info.get('steps', '?')} steps, {info.get('minutes', 0):.1f} minutes, "
        f"seed {config.training.seed}",
        f"- {info.get('parameters', 0) / 1e6:.2f} M parameters",
        "",
        "## Validation",
        "",
        *validation_lines(config, info),
    ]
    return "\n".join(lines) + "\n"


def _sources(info: Mapping[str, Any]) -> list[str]:
    """List what a model learned from; of a corpus, licences and files of each modality as well."""
    licences = info.get("licences", {})
    lines = [
        f"- {source}{f': {licences[source]}' if source in licences else ''}"
        for source in info.get("sources", [])
    ]
    files = ", ".join(f"{count} {name}" for name, count in info.get("modalities", {}).items())
    return [*lines, *([f"- files by modality: {files}"] if files else [])]


def check_record(config: AnyConfig, info: Mapping[str, Any]) -> None:
    """Raise ValueError unless a training record, which may be a stranger's, makes a card."""
    try:
        model_card(config, info)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ValueError(f"no training record as isoslice writes it ({reason(error)})") from error


def validation_lines(config: AnyConfig, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Tabulate what a model reached on held-out images."""
    scores = info.get("validation")
    if not scores and info.get("held_out_files"):
        return (
            f"{info['held_out_files']} files were held out: predicted standard deviations are",
            "calibrated on them. PSNR on specimens that the model does not know:",
            "docs/how-to/pretrained.md of isoslice.",
        )
    if not scores:
        return ("Not measured: no images were held out, or there was only one.",)
    return (
        "PSNR over hidden rows of held-out images, against linear interpolation on the same",
        "grid (one row in `factor` kept; intensities as normalised, data range 1):",
        "",
        "| factor | linear | this model (mean) |",
        "|---|---|---|",
        *(
            f"| {factor} | {v['linear_psnr']:.2f} dB | {v['psnr']:.2f} dB |"
            for factor, v in scores.items()
        ),
        *_weakness(config, info),
    )


def _weakness(config: AnyConfig, info: Mapping[str, Any]) -> tuple[str, ...]:
    gains = gains_over_linear(config, info)
    weak = [f"{factor}x" for factor, gain in gains.items() if gain < MIN_GAIN_DB]
    if not weak:
        return ()
    return (
        "",
        f"**No better than linear interpolation at {' and '.join(weak)}: trained too little.**",
        "Train it longer before you use it there:",
        "",
        "    isoslice train IMAGES --from THIS_FOLDER --minutes N -o NEW",
    )


def _normalisation(config: AnyConfig, *, listed: bool) -> tuple[str, ...]:
    if config.intensities is None:
        were = " In the training data these were:" if listed else ""
        return (
            "Percentiles 0.1 and 99.9 of each whole stack are mapped to 0 and 1, and back after",
            f"prediction.{were}",
        )
    low, high = config.intensities
    return (f"Intensities {low:g} and {high:g} become 0 and 1 in every image, and back after.",)
