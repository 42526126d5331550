"""Packages: conda's recipe says what pyproject.toml does, faults of wheels are found."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_dist", ROOT / ".ci" / "check_dist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recipe():
    """The recipe, its two variables filled in, as `rattler-build` renders it."""
    text = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    version = yaml.safe_load(text)["context"]["version"]
    for name, value in {"version": version, "python_min": "3.11"}.items():
        text = text.replace(f"${{{{ {name} }}}}", value)
    return yaml.safe_load(text)


def test_the_recipe_requires_what_the_project_does(check, recipe):
    assert list(check.faults_of_recipe(recipe, check.project())) == []


def test_a_recipe_that_lags_behind_is_found(check, recipe):
    older = copy.deepcopy(recipe)
    older["package"]["version"] = "0.0.1"
    older["requirements"]["run"].remove("zarr >=3.1.4")
    older["requirements"]["run"][0] = "python >=3.9"
    older["requirements"]["run_constraints"].append("nibabel >=1")
    found = list(check.faults_of_recipe(older, check.project()))
    assert len(found) == 4
    assert any("zarr >=3.1.4" in one for one in found)


def test_files_that_a_wheel_lacks_or_adds_are_found(check):
    licences = {
        f"isoslice-1.2.dist-info/licenses/{name}" for name in check.project()["license-files"]
    }
    whole = {"isoslice/a.py", "isoslice/b.json"}
    assert list(check.faults_of_wheel(whole | licences, 1, whole)) == []
    (missing,) = check.faults_of_wheel({"isoslice/a.py"} | licences, 1, whole)
    assert "isoslice/b.json" in missing
    (added,) = check.faults_of_wheel(whole | licences | {"tests/c.py"}, 1, whole)
    assert "tests/c.py" in added
    (large,) = check.faults_of_wheel(whole | licences, 9_000_000, whole)
    assert "9,000,000" in large
    (unlicensed,) = check.faults_of_wheel(whole, 1, whole)
    assert "LICENSE" in unlicensed


def test_files_that_an_sdist_lacks_are_found(check):
    held = {f"isoslice-1/{name}" for name in ("pyproject.toml", "README.md", "LICENSE")}
    (missing,) = check.faults_of_sdist(held, {"isoslice/a.py"})
    assert "src/isoslice/a.py" in missing
    assert (
        list(check.faults_of_sdist(held | {"isoslice-1/src/isoslice/a.py"}, {"isoslice/a.py"}))
        == []
    )


def test_the_container_has_the_readme_that_a_wheel_is_built_with(check):
    """What the build needs of the checkout is copied, and not left out by `.dockerignore`."""
    copied = (ROOT / "packaging" / "container" / "Dockerfile").read_text(encoding="utf-8")
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (check.project()["readme"], "LICENSE", "pyproject.toml", "src"):
        assert f" {name} " in copied
        assert f"!{name}" in let_in
