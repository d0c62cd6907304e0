"""Prepare this checkout's virtual environment: torch that fits the machine, the locked packages, limner itself.

Owns ``.venv`` and nothing else. Runs on the standard library alone, under whatever ``python3`` the machine has, so it
must stay readable by old interpreters (hence the quoted annotations), which hand over to a newer one. Safe to repeat
and to interrupt: what is done is skipped, what an interrupted run left half-installed is found and replaced.

    python3 scripts/setup.py [--dev] [--venv DIR]
"""

import argparse
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")

# torch stays out of the lock files, because which build is right depends on the machine. A torch within the range that
# someone has put into the environment (ROCm, another CUDA) is kept; tests hold the range equal to pyproject's.
TORCH = "2.13.0"
TORCH_AT_LEAST, TORCH_BELOW = (2, 9), (3, 0)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_INDEX_PATIENCE_S = 5.0

# Prints the names of installed distributions of which files are missing, as an interrupted pip leaves them.
FIND_BROKEN = """
import importlib.metadata as m
for d in m.distributions():
    files = [f for f in d.files or () if f.suffix != ".pyc"]
    if not all(f.locate().exists() for f in files) or not files:
        print(d.name)
"""
# Fails in an environment that is too old or whose pip is not whole.
PROBE = f"""
import importlib.metadata as m, sys
files = [f for f in m.distribution("pip").files or () if f.suffix != ".pyc"]
sys.exit(sys.version_info[:2] < {OLDEST} or not files or not all(f.locate().exists() for f in files))
"""


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def main() -> int:
    """Bring the environment up to date; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Prepare limner's virtual environment.")
    parser.add_argument("--dev", action="store_true", help="also install what the tests need")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the environment (default: .venv)")
    arguments = parser.parse_args()
    try:
        if sys.version_info < OLDEST:
            return _rerun_with(_newer_python())
        set_up(arguments.venv.absolute(), dev=arguments.dev)
    except SetupError as error:
        print("set-up: " + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; run it again to go on.", file=sys.stderr)
        return 130
    return 0


def set_up(venv: Path, *, dev: bool) -> None:
    """Create or repair ``venv`` and install everything into it; raises SetupError."""
    started = time.monotonic()
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once would tread on each other; released when we exit
    python = ensure_venv(venv)
    unfinished = venv / ".unfinished"
    interrupted = unfinished.exists()
    try:
        unfinished.touch()
    except OSError as error:
        raise SetupError(
            f"cannot write to {_shown(venv)}: {error.strerror}. Remove it, if it is another user's"
        ) from error
    if interrupted:
        remove_broken(python)
    install_torch(python)
    names = ["run.txt", "dev.txt"] if dev else ["run.txt"]
    say("installing the locked packages (" + ", ".join(names) + ")")
    pip(python, "install", "--no-deps", *(part for name in names for part in ("-r", str(lock_file(name)))))
    pip(python, "install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    unfinished.unlink()
    say(f"ready after {time.monotonic() - started:.0f} s")


def ensure_venv(venv: Path) -> Path:
    """Return the environment's interpreter, making the environment anew when it is absent, old or broken."""
    python = venv / "bin" / "python"
    if python.exists() and _succeeds([str(python), "-c", PROBE]):
        return python
    if not _succeeds([sys.executable, "-c", "import ensurepip, venv"]):
        raise SetupError(
            "this Python has no venv module. Install it (Debian, Ubuntu: apt install python3-venv; others ship it with "
            "python3) and run make again."
        )
    say(f"creating {_shown(venv)} with Python {platform.python_version()}")
    line = [sys.executable, "-m", "venv", "--clear", str(venv)]
    made = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise SetupError("python3 -m venv failed:\n" + made.stdout.strip())
    return python


def remove_broken(python: Path) -> None:
    """Uninstall the distributions of which an interrupted run left only parts."""
    packages = next(python.parent.parent.glob("lib/python3*/site-packages"))
    for leftover in packages.glob("~*"):  # what pip had set aside while it replaced a package
        shutil.rmtree(leftover)
    for name in sorted(set(_output([str(python), "-c", FIND_BROKEN]).split()) - {"pip"}):
        say(f"replacing {name}, which an interrupted set-up left incomplete")
        pip(python, "uninstall", "--yes", name, check=False)
        for leftover in packages.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(leftover)


def install_torch(python: Path) -> None:
    """Install the torch build that fits this machine, unless a usable one is there."""
    present = _output([str(python), "-c", "import importlib.metadata as m; print(m.version('torch'))"])
    if present and torch_fits(present):
        return
    requirement, *options = choose_torch(python)
    say(f"installing {requirement} (the largest part)")
    constraint = str(lock_file("run.txt"))
    pip(python, "install", requirement, *options, "--constraint", constraint, quiet=not sys.stderr.isatty())


def choose_torch(python: Path) -> "list[str]":
    """Return pip's arguments for torch: the CUDA build with an NVIDIA GPU, otherwise a CPU build where there is one."""
    plain, cpu = f"torch=={TORCH}", f"torch=={TORCH}+cpu"
    cuda_by_default = sys.platform == "linux" and platform.machine() == "x86_64"
    if has_nvidia_gpu() or not cuda_by_default:
        return [plain]
    if f"{TORCH}+cpu" in _output([str(python), "-m", "pip", "index", "versions", "torch"]):
        return [cpu]
    if answers(CPU_INDEX + "/torch/"):
        return [cpu, "--extra-index-url", CPU_INDEX]
    say(f"note: {CPU_INDEX} does not answer; taking torch with CUDA from the default index, several GB")
    return [plain]


def torch_fits(version: str) -> bool:
    """Whether an installed torch of this version can be kept."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and TORCH_AT_LEAST <= (int(match[1]), int(match[2])) < TORCH_BELOW


def has_nvidia_gpu() -> bool:
    """Whether nvidia-smi lists at least one GPU."""
    return "GPU " in _output(["nvidia-smi", "--list-gpus"])


def answers(url: str) -> bool:
    """Whether an address answers a HEAD request within a few seconds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CPU_INDEX_PATIENCE_S):
            return True
    except (OSError, ValueError):
        return False


def lock_file(name: str) -> Path:
    """The path of one lock file."""
    return ROOT / "requirements" / name


def pip(python: Path, command: str, *arguments: str, quiet: bool = True, check: bool = True) -> None:
    """Run pip in the environment; raises SetupError when it fails and ``check`` is on."""
    options = ["--disable-pip-version-check", "--no-input", *(["-qq"] if quiet else [])]  # errors still show
    environment = {**os.environ, "PIP_USER": "0"}  # a machine-wide "user = true" cannot work inside a venv
    line = [str(python), "-m", "pip", command, *options, *arguments]
    if subprocess.run(line, env=environment, cwd=ROOT).returncode and check:
        raise SetupError("pip failed, see above. Once the cause is gone, run make again: it goes on where it stopped.")


def say(text: str) -> None:
    """Tell the user about a step; stdout stays free for what is run afterwards."""
    print("set-up: " + text, file=sys.stderr, flush=True)


def _newer_python() -> str:
    probe = f"import sys; sys.exit(sys.version_info[:2] < {OLDEST})"
    for name in CANDIDATES:
        found = shutil.which(name)
        if found and _succeeds([found, "-c", probe]):
            return found
    raise SetupError(
        f"limner needs Python 3.11 or newer; this is {platform.python_version()} and no newer one is on the PATH. "
        "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/it"
    )


def _rerun_with(python: str) -> int:
    return subprocess.run([python, *sys.argv]).returncode


def _succeeds(line: "list[str]") -> bool:
    try:
        return not subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    except OSError:
        return False


def _output(line: "list[str]") -> str:
    try:
        run = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if ROOT in path.parents else str(path)


if __name__ == "__main__":
    sys.exit(main())
