"""Test a package by bioimage.io's own programs, run it, and pack it anew; prints JSON.

    PYTHON tests/bioimageio_check.py PACKAGE.zip STACK.npy VOLUME.npy REPACKED.zip

PYTHON has bioimageio.core and no isoslice: see `test_bioimageio_core.py`.
"""

from __future__ import annotations

import json
import sys

import numpy as np


def main(package: str, stack: str, volume: str, repacked: str) -> None:
    from bioimageio.core import load_model_description, predict, test_model
    from bioimageio.spec import save_bioimageio_package

    summary = test_model(package)
    details = [
        {"name": each.name, "status": each.status, "errors": [error.msg for error in each.errors]}
        for each in summary.details
    ]
    model = load_model_description(package)
    sample = predict(model=model, inputs={"stack": np.load(stack)})
    np.save(volume, np.asarray(sample.members["volume"].data))
    save_bioimageio_package(model, output_path=repacked)
    told = {"status": summary.status, "details": details, "isoslice": "isoslice" in sys.modules}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
