"""Samples of models: folders of isoslice's own, a checkpoint of MSDSR, packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def folder(folder: Path) -> Iterator[Path]:
    from isoslice.inference.model import Model
    from isoslice.models.config import ModelConfig, MsdsrConfig, NetworkSettings, UNetSettings
    from isoslice.models.networks.factory import build_network

    shape = NetworkSettings(widths=(8, 8), blocks_down=(1, 0), blocks_up=(0, 0))
    own = ModelConfig(network=shape, sigma_data=0.1, pixel_size=(0.5, 0.5))
    unet = UNetSettings(width=8, multipliers=(1,), blocks=1, attention=())
    for number, config in enumerate((own, MsdsrConfig(network=unet))):
        path = folder / f"{number}.model"
        Model(config, build_network(config).eval(), {"sources": ["a.tif"]}).save(path)
        (path / "README.md").unlink()
        yield path


def msdsr(folder: Path) -> Iterator[Path]:
    import torch

    from isoslice.models.config import MsdsrConfig, UNetSettings
    from isoslice.models.files.msdsr_checkpoint import AVERAGED, RAW
    from isoslice.models.networks.factory import build_network

    network = build_network(MsdsrConfig(network=UNetSettings(width=8)))
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        weights[RAW + name] = weights[AVERAGED + name.replace(".", "")] = tensor
    torch.save({"epoch": 1, "state_dict": weights}, folder / "a.ckpt")
    yield folder / "a.ckpt"


def packages(folder: Path) -> Iterator[Path]:
    """Write packages without what nobody reads, one of them with a head."""
    import zipfile

    from isoslice.inference.model import Model
    from isoslice.models.config import ModelConfig, NetworkSettings
    from isoslice.models.exchange.export import export_bioimageio
    from isoslice.models.networks.error_head import build_head
    from isoslice.models.networks.factory import build_network

    shape = NetworkSettings(widths=(8, 8), blocks_down=(1, 0), blocks_up=(0, 0))
    config = ModelConfig(network=shape, sigma_data=0.1)
    for number, head in enumerate((None, build_head(config))):
        made = Model(config, build_network(config).eval(), {"sources": ["a.tif"]}, head)
        path, packing = folder / f"{number}.zip", number * zipfile.ZIP_DEFLATED
        export_bioimageio(made, folder / "whole.zip", overwrite=True)
        with (
            zipfile.ZipFile(folder / "whole.zip") as whole,
            zipfile.ZipFile(path, "w", packing) as new,
        ):
            for name in whole.namelist():
                if name.endswith((".yaml", ".json", ".pt", ".safetensors")):
                    new.writestr(name, whole.read(name))
        yield path


def load_model(path: Path) -> None:
    from isoslice.inference.model import Model

    Model.load(path)


def load_checkpoint(path: Path) -> None:
    from isoslice.models.files.msdsr_checkpoint import import_msdsr

    import_msdsr(path)


def load_package(path: Path) -> None:
    from isoslice.models.exchange.package import read_package

    read_package(path)
