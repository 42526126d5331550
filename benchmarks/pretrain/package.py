"""Put a pretrained model into the package: weights in half precision, and what it knows of images.

PYTHONPATH=src:benchmarks python -m pretrain.package MODEL corpus.npz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import WEIGHTS
from isoslice.models.pretrained import folder
from isoslice.models.reliability.out_of_distribution import learn_reference
from isoslice.models.reliability.record import Trust
from pretrain.packed import read_packed

#: Largest size of the folder in bytes, so that the wheel stays small.
MOST_BYTES = 6_000_000


def main() -> None:
    """Package as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="what pretrain.learn wrote")
    parser.add_argument("corpus", type=Path, help="what pretrain.pack wrote")
    parser.add_argument("-o", "--output", type=Path, default=folder())
    given = parser.parse_args()
    model = Model.load(given.model)
    assert isinstance(model.config, ModelConfig)
    stacks = [each.plane_stack() for each in read_packed(given.corpus) if not each.held_out]
    trust = Trust(familiar=learn_reference(stacks))
    packaged = replace(model, config=model.config.updated(per_stack=True), trust=trust)
    packaged.save(given.output, overwrite=True)
    weights = given.output / WEIGHTS
    save_file({name: each.half() for name, each in load_file(weights).items()}, weights)
    size = sum(path.stat().st_size for path in given.output.iterdir())
    print(f"{given.output}: {Model.load(given.output).fingerprint}, {size / 1e6:.2f} MB")
    assert size <= MOST_BYTES


if __name__ == "__main__":
    main()
