"""What norm groups, batches and rates do to a narrow MSDSR network of minutes, in brightness.

    python benchmarks/norm_groups.py TRAIN TEST --groups 2 --minutes 10 --model FOLDER
    python benchmarks/norm_groups.py TRAIN TEST --groups 2 --minutes 8 --spread --rate 5e-3
    python benchmarks/norm_groups.py TRAIN TEST --model FOLDER --steps 25 40 --eta 0 --no-clip

Trains on one volume's planes, on one core, and scores 16 crops of another's at 4x: PSNR over hidden
rows, and how far the mean of a crop's hidden rows is off when the network is asked once, at time
step 900. Prints a row of the table in docs/benchmarks/reproduction.md. --model keeps the
network in a folder, and scores it where it is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from isoslice.data.crops import draw_crops
from isoslice.data.masking import even_rows
from isoslice.data.planes import plane_stacks
from isoslice.data.psnr import psnr_from_mse
from isoslice.inference.model import Model
from isoslice.inference.rows import restore_rows
from isoslice.io import read_volume
from isoslice.models.config import MaskedTraining, MsdsrConfig
from isoslice.models.diffusion.ddim import cosine_alphas_cumprod
from isoslice.models.diffusion.masked import put_known
from isoslice.models.presets import masked_training, unet_shape
from isoslice.runtime.progress import terminal_progress
from isoslice.training.train import train

FACTOR, CROPS, SIDE = 4, 16, 48
#: Scored rows: up to the last known one.
ROWS = (SIDE - 1) // FACTOR * FACTOR + 1
#: Time step of the question about brightness, and how often it is asked, each time in new noise.
ASKED_AT, DRAWS = 900, 20


def trained(options: argparse.Namespace) -> Model:
    """Train a network of the given groups."""
    shape = unet_shape(options.width).model_copy(update={"groups": options.groups})
    training = MaskedTraining.model_validate(
        {
            **masked_training(options.width).model_dump(),
            "stratified": options.spread,
            "learning_rate": options.rate,
        }
    )
    progress = terminal_progress(quiet=False)
    try:
        return train(
            read_volume(options.train),
            minutes=options.minutes,
            preset="msdsr",
            width=options.width,
            settings=training,
            network=shape,
            seed=0,
            device="cpu",
            progress=progress,
        )
    finally:
        progress.close()


def hidden_errors(found: Tensor, images: Tensor, known: Tensor) -> Tensor:
    """Errors on the hidden rows of each crop, shape (N, pixels)."""
    return (found - images)[:, :, :ROWS][:, :, ~known[:ROWS]].flatten(1)


def psnr_of_samples(model: Model, images: Tensor, known: Tensor, steps: int) -> float:
    """PSNR over hidden rows after `steps` DDIM steps."""
    masks = known.expand(len(images), -1)
    found = restore_rows(model.network, model.config, images, masks, steps=steps)
    return psnr_from_mse(float(hidden_errors(found, images, known).square().mean()))


@torch.inference_mode()
def mean_off(model: Model, images: Tensor, known: Tensor) -> float:
    """Deviation of the hidden rows' mean from the truth's, asked once about each noisy image."""
    signal = float(cosine_alphas_cumprod(model.config.sampler.timesteps)[ASKED_AT])
    generator = torch.Generator().manual_seed(0)
    t = torch.full((len(images),), ASKED_AT)
    squares = []
    for _ in range(DRAWS):
        noise = torch.randn(images.shape, generator=generator)
        noisy = signal**0.5 * images + (1 - signal) ** 0.5 * noise
        noisy = put_known(noisy, images, known[None])
        clean = (noisy - (1 - signal) ** 0.5 * model.network(noisy, t)) / signal**0.5
        squares.append(hidden_errors(clean, images, known).mean(1).square().mean())
    return float(torch.stack(squares).mean().sqrt())


def main() -> None:
    """Train or load, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", type=Path, help="volume to learn from")
    parser.add_argument("test", type=Path, help="volume whose planes are scored")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--groups", type=int, default=2, help="norm groups")
    parser.add_argument("--spread", action="store_true", help="spread batches evenly")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model", type=Path, help="keep the model there; if there, do not train")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100], help="DDIM steps")
    parser.add_argument("--eta", type=float, default=1.0, help="0: deterministic")
    parser.add_argument("--no-clip", action="store_true", help="leave estimates as they are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.model and options.model.exists():
        model = Model.load(options.model)
    else:
        model = trained(options)
        if options.model:
            model.save(options.model)
    assert isinstance(model.config, MsdsrConfig)
    sampling = {"eta": options.eta, **({"clip": None} if options.no_clip else {})}
    sampler = model.config.sampler.model_copy(update=sampling)
    model = Model(model.config.model_copy(update={"sampler": sampler}), model.network, model.info)

    stacks = plane_stacks([read_volume(options.test)])
    images = draw_crops(stacks, CROPS, SIDE, torch.Generator().manual_seed(0))
    known = even_rows(SIDE, FACTOR)
    shape, training = model.config.network, model.config.training
    cells = {
        "norm groups": str(shape.groups),
        "channels each": str(shape.width // shape.groups),
        "spread": "yes" if training.stratified else "no",
        "rate": f"{training.learning_rate:g}",
        "steps": str(model.info.get("steps", "")),
        "L1 loss": f"{model.info.get('loss', float('nan')):.3f}",
        **{
            f"PSNR, {steps} DDIM steps": f"{psnr_of_samples(model, images, known, steps):.1f}"
            for steps in options.steps
        },
        "mean off by": f"{mean_off(model, images, known):.2f}",
    }
    print(f"| {' | '.join(cells)} |")
    print(f"|{'---|' * len(cells)}")
    print(f"| {' | '.join(cells.values())} |")


if __name__ == "__main__":
    main()
