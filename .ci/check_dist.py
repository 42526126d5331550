"""Check what `python -m build` made in dist/, and use it: ``check_dist.py [PYTHON ...]``.

The wheel holds every file of the package that git knows and nothing else, is small enough, and is
installed and used in a new environment of each Python, without the network where that can be cut
off. The recipe for conda can be rendered, and requires what pyproject.toml does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "src/isoslice/"
LARGEST_WHEEL = 8_000_000
#: Names on conda-forge, where they are others.
CONDA_NAMES = {
    "lazy_loader": "lazy-loader",
    "matplotlib": "matplotlib-base",
    "safetensors": "python-safetensors",
    "simpleitk": "simpleitk",
    "torch": "pytorch",
}
#: A stack, restored by the model that comes along; no file is needed.
USE = """
import sys
import numpy as np
import isoslice
stack = np.random.default_rng(0).integers(0, 255, (4, 32, 48)).astype("uint8")
found = isoslice.Model.pretrained().predict(stack, axes="ZYX", voxel_size=(3, 1, 1), mode="mean")
assert found.volume.shape == (10, 32, 48), found.volume.shape
assert (found.volume[::3] == stack).all()
assert "site-packages" in isoslice.__file__, isoslice.__file__
"""


def project() -> dict[str, Any]:
    """Read the project's table of pyproject.toml."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(read)


def known_files() -> set[str]:
    """List the package's files that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {line.removeprefix("src/") for line in listed.stdout.splitlines()}


def faults_of_wheel(names: set[str], size: int, expected: set[str]) -> Iterator[str]:
    """Say what is wrong with a wheel that holds files of these names."""
    held = {name for name in names if not re.match(r"isoslice-[\d.]+(\w*)\.dist-info/", name)}
    if missing := sorted(expected - held):
        yield f"wheel: got no {', '.join(missing[:5])}, expected all files of the package"
    if added := sorted(held - expected):
        yield f"wheel: got {', '.join(added[:5])}, expected nothing but the package"
    if size > LARGEST_WHEEL:
        yield f"wheel: got {size:,} bytes, expected {LARGEST_WHEEL:,} at most"
    licences = {name.rpartition("licenses/")[2] for name in names if "licenses/" in name}
    if licences != (wanted := set(project()["license-files"])):
        yield f"wheel: got licences {sorted(licences)}, expected {sorted(wanted)}"


def faults_of_sdist(names: set[str], expected: set[str]) -> Iterator[str]:
    """Say what is wrong with an sdist."""
    held = {name.partition("/")[2] for name in names}
    wanted = {f"src/{name}" for name in expected} | {"pyproject.toml", "README.md", "LICENSE"}
    if missing := sorted(wanted - held):
        yield f"sdist: got no {', '.join(missing[:5])}"


def rendered_recipe() -> dict[str, Any]:
    """Render the recipe for conda, as rattler-build does before it builds."""
    from rattler_build import Stage0Recipe, VariantConfig

    recipe = Stage0Recipe.from_file(str(ROOT / "packaging/conda/recipe.yaml"))
    lowest = re.sub(r"[^\d.]", "", project()["requires-python"])
    (variant,) = recipe.render(VariantConfig({"python_min": [lowest]}))
    return dict(variant.recipe.to_dict())


def conda_requirement(requirement: str) -> str:
    """Write a requirement such as ``lazy_loader>=0.4`` as conda-forge's recipes do."""
    name, floor = requirement.split(">=")
    return f"{CONDA_NAMES.get(name.lower(), name.lower())} >={floor}"


def faults_of_recipe(recipe: dict[str, Any], project: dict[str, Any]) -> Iterator[str]:
    """Say where conda's recipe is not what pyproject.toml says."""
    if (version := recipe["package"]["version"]) != project["version"]:
        yield f"recipe: got version {version}, expected {project['version']}"
    lowest, asked = recipe["requirements"]["run"][0].split(" ")[1], project["requires-python"]
    if lowest != asked:
        yield f"recipe: got Python {lowest}, expected {asked}"
    run = {one for one in recipe["requirements"]["run"] if not one.startswith("python ")}
    needed = set(map(conda_requirement, project["dependencies"]))
    if run != needed:
        yield f"recipe: got other requirements than pyproject.toml: {sorted(run ^ needed)}"
    extras = {
        conda_requirement(one)
        for some in project["optional-dependencies"].values()
        for one in some
        if not one.startswith(project["name"])
    }
    if others := set(recipe["requirements"]["run_constraints"]) ^ extras:
        yield f"recipe: got other constraints than the extras: {sorted(others)}"


def use(wheel: Path, python: str) -> None:
    """Install a wheel into a new environment of a Python, and restore a stack by it."""
    with tempfile.TemporaryDirectory(prefix="isoslice-dist-") as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)
        # The network is cut off where the system lets us.
        alone = ["unshare", "--net", "--map-root-user"]
        ours = alone if shutil.which("unshare") and _runs([*alone, "true"]) else []
        told = "without the network" if ours else "with the network at hand"
        for command in (
            [f"{folder}/bin/isoslice", "--version"],
            [f"{folder}/bin/python", "-c", USE],
        ):
            subprocess.run([*ours, *command], check=True, cwd=folder)
        print(f"{wheel.name}: installed and used by {python}, {told}", flush=True)


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", nargs="*", default=[], metavar="PYTHON")
    pythons = parser.parse_args().python
    (wheel,), (sdist,) = ((ROOT / "dist").glob(end) for end in ("*.whl", "*.tar.gz"))
    expected = known_files()
    with zipfile.ZipFile(wheel) as file, tarfile.open(sdist) as archive:
        in_wheel, in_sdist = set(file.namelist()), set(archive.getnames())
    faults = [
        *faults_of_wheel(in_wheel, wheel.stat().st_size, expected),
        *faults_of_sdist(in_sdist, expected),
        *faults_of_recipe(rendered_recipe(), project()),
    ]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(expected)} files", flush=True)
    for python in pythons:
        use(wheel.resolve(), python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
