"""Put a pretrained model into the package: error head, half precision, what it knows of images.

PYTHONPATH=src:benchmarks python -m pretrain.package MODEL corpus.npz
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import SPREAD, WEIGHTS
from isoslice.models.pretrained import folder
from isoslice.models.reliability.out_of_distribution import learn_reference
from isoslice.models.reliability.record import Trust
from isoslice.runtime.progress import terminal_progress
from pretrain.learn import training_stacks
from pretrain.packed import Packed, read_packed
from pretrain.spread import calibrate_on, learn_spread

#: Largest size of the folder in bytes, so that the wheel stays small.
MOST_BYTES = 6_000_000


def facts(packed: Sequence[Packed]) -> dict[str, Any]:
    """Collect what a model's card says of a corpus: licences, modalities, what is held out."""
    chosen = [each for each in packed if not each.held_out]
    licences = {each.source: set[str]() for each in packed}
    for each in packed:
        licences[each.source].add(each.licence)
    modalities = Counter(modality for modality, _ in {(e.modality, e.file) for e in chosen})
    return {
        "licences": {source: ", ".join(sorted(licences[source])) for source in sorted(licences)},
        "modalities": dict(sorted(modalities.items())),
        "held_out_files": len({each.file for each in packed if each.held_out}),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Package as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="what pretrain.learn wrote")
    parser.add_argument("corpus", type=Path, help="what pretrain.pack wrote")
    parser.add_argument("-o", "--output", type=Path, default=folder())
    given = parser.parse_args(arguments)
    model = Model.load(given.model)
    assert isinstance(model.config, ModelConfig)
    packed = read_packed(given.corpus)
    held_out = [each for each in packed if each.held_out]
    progress = terminal_progress(False)
    head = learn_spread(model, *training_stacks(packed, model.config.training), progress)
    progress.close()
    familiar = learn_reference([each.plane_stack() for each in packed if not each.held_out])
    trust = Trust(calibration=calibrate_on(model, head, held_out), familiar=familiar)
    config = model.config.updated(per_stack=True)
    info = {**model.info, **facts(packed)}
    packaged = replace(model, config=config, info=info, head=head, trust=trust)
    packaged.save(given.output, overwrite=True)
    for name in (WEIGHTS, SPREAD):
        halved = {key: each.half() for key, each in load_file(given.output / name).items()}
        save_file(halved, given.output / name)
        (given.output / name).chmod(0o644)
    size = sum(path.stat().st_size for path in given.output.iterdir())
    print(f"{given.output}: {Model.load(given.output).fingerprint}, {size / 1e6:.2f} MB")
    assert size <= MOST_BYTES


if __name__ == "__main__":
    main()
