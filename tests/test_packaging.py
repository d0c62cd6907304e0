"""The wheel holds what it needs, and set-up, lock files and pyproject agree."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from limner import __version__
from scripts import setup

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUN = [Requirement(text) for text in PROJECT["dependencies"]]
DEV = [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]


def locked(*names: str) -> dict[str, str]:
    """Name to version of every pin in these files; anything that is not an exact pin is an error."""
    pins: dict[str, str] = {}
    for name in names:
        for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                match = re.fullmatch(r"([a-z0-9-]+)==([0-9][^\s;]*)(; python_version <= \"3\.\d+\")?", line)
                assert match, line
                pins[match[1]] = match[2]
    return pins


def import_names(folder: str) -> set[str]:
    """First parts of every absolute import below a folder."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(line, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.iterdir()
    assert path.name == f"limner-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_package_and_all_its_data(wheel: list[str]) -> None:
    tracked = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "limner").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked - set(wheel) == set()
    assert "limner/py.typed" in wheel
    assert [name for name in wheel if re.fullmatch(r"limner/catalogue/data/.+\.toml", name)]
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_wheel_holds_the_embedded_model(wheel: list[str]) -> None:
    sketch = ROOT / "src" / "limner" / "suite" / "sketch"
    if not sketch.exists():
        pytest.skip("not trained in this checkout")
    assert [name for name in wheel if name.startswith("limner/suite/sketch/") and name.endswith(".safetensors")]
    assert "limner/suite/sketch/model_index.json" in wheel


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"limner", f"limner-{__version__}.dist-info"}
    assert [name for name in wheel if "__pycache__" in name or name.endswith((".log", ".pyc"))] == []


@pytest.mark.parametrize(("requirements", "files"), [(RUN, ["run.txt"]), ([*RUN, *DEV], ["run.txt", "dev.txt"])])
def test_the_lock_meets_every_range_of_pyproject(requirements: list[Requirement], files: list[str]) -> None:
    pins = locked(*files)
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        version = setup.TORCH if name == "torch" else pins.get(name)
        assert version is not None, f"{name} is not locked: run make lock"
        assert requirement.specifier.contains(version), f"{name}=={version} is not in {requirement}: run make lock"


def test_the_lock_leaves_torch_to_set_up() -> None:
    pins = locked("run.txt", "dev.txt")
    assert [name for name in pins if name == "torch" or name.startswith(("nvidia-", "cuda-", "triton"))] == []
    (torch,) = (requirement for requirement in RUN if requirement.name == "torch")
    low, high = (".".join(map(str, bound)) for bound in (setup.TORCH_AT_LEAST, setup.TORCH_BELOW))
    assert torch.specifier == SpecifierSet(f">={low},<{high.removesuffix('.0')}")


def test_the_lock_names_no_registry() -> None:
    for path in (ROOT / "requirements").iterdir():
        assert "//" not in path.read_text(encoding="utf-8")


def test_everything_imported_is_declared() -> None:
    """A package that only comes along with another one may go with it."""
    provided = {"pillow": "PIL", "pydantic-settings": "pydantic_settings"}
    declared = {provided.get(requirement.name, requirement.name.replace("-", "_")) for requirement in RUN}
    for extra in ("gguf", "cutout", "upscale"):
        declared |= {Requirement(text).name for text in PROJECT["optional-dependencies"][extra]}
    declared |= {Requirement(text).name.partition("-")[0] for text in PROJECT["optional-dependencies"]["otel"]}
    # Each of these is part of what FastAPI, diffusers and transformers are.
    declared |= {"starlette", "huggingface_hub", "tokenizers", "pydantic_core", "limner"}
    assert import_names("src") - declared == set()


@pytest.mark.parametrize(("version", "fits"), [("2.13.0+cpu", True), ("2.9.0", True), ("2.8.1", False), ("3.0", False)])
def test_a_torch_that_is_there_is_kept_when_it_fits(version: str, fits: bool) -> None:
    assert setup.torch_fits(version) == fits


@pytest.mark.parametrize(
    ("gpu", "versions", "answers", "chosen"),
    [
        (True, "2.13.0+cpu, 2.13.0", True, ["torch==2.13.0"]),
        (False, "2.13.0+cpu, 2.13.0", False, ["torch==2.13.0+cpu"]),
        (False, "2.14.0, 2.13.0", True, ["torch==2.13.0+cpu", "--extra-index-url", setup.CPU_INDEX]),
        (False, "", False, ["torch==2.13.0"]),
    ],
)
def test_torch_suits_the_machine(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, versions: str, answers: bool, chosen: list[str]
) -> None:
    monkeypatch.setattr(setup, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(setup, "_output", lambda line: versions)
    monkeypatch.setattr(setup, "answers", lambda url: answers)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert setup.choose_torch(Path("python")) == chosen


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for target in ("setup", "serve", "test", "check", "bench", "train", "eval", "docs"):
        assert f"make {target} " in shown
        assert f"\n{target}: " in makefile


SET_UP = """#!/bin/sh
mkdir -p .venv/bin && ln -sf /bin/true .venv/bin/python
echo "set up beside '$PYTHONPATH'"
"""


def test_a_checkout_may_lie_anywhere_and_is_set_up_once(tmp_path: Path) -> None:
    checkout = tmp_path / "it's (a, b) $x"
    for name in ("Makefile", "scripts/setup.py", "pyproject.toml", "requirements/run.txt"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    (checkout / "python").write_text(SET_UP)
    (checkout / "python").chmod(0o755)
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": "/of/another/python"}
    line = ["make", "-C", str(checkout), "--no-print-directory", "setup", "PYTHON=./python"]
    said = [subprocess.run(line, capture_output=True, text=True, check=True, env=variables).stdout for _ in range(2)]
    assert said == ["set up beside ''\n", "make: Nothing to be done for 'setup'.\n"]


def test_what_the_tests_read_goes_with_the_sources() -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = set(whole["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    read = {name for name in re.findall(r'(?:ROOT|parent) / "(\w+)"', text) if (ROOT / name).is_dir()}
    assert {"deploy", "docs"} <= read <= included


def test_an_environment_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    venv = tmp_path / "another-users"
    monkeypatch.setattr(setup, "ensure_venv", lambda venv: venv / "bin" / "python")
    with pytest.raises(setup.SetupError, match=r"cannot write to .*another-users: No such file or directory"):
        setup.set_up(venv, dev=False)
