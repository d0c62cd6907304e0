"""The direction of dependencies, read from the source, and what importing limner costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "limner").rglob("*.py"))
}

GROUND = {"core", "errors", "config"}
# What each part of the package may import; a part that is missing here has no place yet and fails.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "errors": set(),
    "config": {"core", "errors"},
    "memory": set(),
    "tasks": set(),
    "secrets_file": {"errors"},
    "logs": GROUND,
    "metrics": GROUND,
    "tracing": GROUND,
    "store": GROUND,
    "media": GROUND,
    "blobs": {*GROUND, "secrets_file"},
    "catalogue": GROUND,
    "suite": GROUND,
    "engine": {*GROUND, "memory"},
    "chat": GROUND,
    "records": {*GROUND, "store"},
    "jobs": {*GROUND, "catalogue", "store", "tasks"},
    "accounts": {*GROUND, "catalogue", "secrets_file", "store"},
    "webhooks": {*GROUND, "media", "secrets_file", "store"},
    "backends": {*GROUND, "catalogue", "engine", "media", "suite"},
    "roster": {*GROUND, "catalogue", "backends"},
    "service": {
        *GROUND, "accounts", "backends", "blobs", "catalogue", "chat", "jobs", "logs", "media", "metrics", "records",
        "roster", "store", "tasks", "tracing",
    },
    "machine": {*GROUND, "backends", "catalogue", "chat", "engine"},
    "runtime": {
        *GROUND, "memory", "catalogue", "backends", "chat", "engine", "machine", "metrics", "roster", "service",
        "suite",
    },
    "doctor": {
        *GROUND, "accounts", "backends", "blobs", "catalogue", "engine", "machine", "roster", "runtime", "secrets_file",
        "service", "store", "suite", "tracing",
    },
    "api": {
        *GROUND, "accounts", "blobs", "catalogue", "chat", "jobs", "logs", "media", "memory", "metrics", "records",
        "roster", "runtime", "secrets_file", "service", "store", "tasks", "tracing", "webhooks",
    },
    "cli": {
        *GROUND, "accounts", "api", "blobs", "catalogue", "doctor", "jobs", "logs", "media", "records", "roster",
        "runtime", "service", "store",
    },
    "__main__": {"cli"},
}  # fmt: skip
# Doors: a part that only these modules may go through.
DOORS = {
    "engine": {
        "limner.backends.cutter", "limner.backends.enlarger", "limner.backends.grounder", "limner.backends.local",
        "limner.backends.speaker", "limner.doctor.helpers", "limner.doctor.machine", "limner.doctor.models",
        "limner.machine", "limner.runtime",
    },
    "runtime": {"limner.api.serve", "limner.cli.local", "limner.doctor.helpers", "limner.doctor.models"},
}  # fmt: skip
TENSOR_LIBRARIES = {
    "torch", "torchvision", "diffusers", "transformers", "peft", "safetensors", "accelerate", "tokenizers",
    "huggingface_hub", "onnxruntime", "rembg", "pymatting", "spandrel",
}  # fmt: skip


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that one import statement names; ``from package import module`` names the module."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            assert node.level == 0, "imports here are absolute"
            module = node.module or ""
            for alias in node.names:
                yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in FILES else module
        case _:
            pass


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def all_imports(module: str) -> set[str]:
    """Everything imported anywhere in the module, inside functions and for type checking as well."""
    return {name for node in ast.walk(tree(module)) for name in imported(node)}


def imports_when_loaded(module: str) -> set[str]:
    """What importing the module imports at once."""
    found: set[str] = set()
    todo: list[ast.AST] = list(tree(module).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        found |= set(imported(node))
        todo += ast.iter_child_nodes(node)
    return found


def part(module: str) -> str:
    """``limner.media.decode`` belongs to ``media``; the package itself, which holds the version, to no part."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_lies_below_it(module: str) -> None:
    own = part(module)
    allowed = MAY_IMPORT[own] if own else set()
    used = {part(name) for name in all_imports(module) if name.split(".")[0] == "limner"}
    assert used - allowed - {own, ""} == set()


@pytest.mark.parametrize("door", DOORS)
def test_some_parts_are_reached_through_one_door(door: str) -> None:
    inside = {
        module
        for module in FILES
        if part(module) != door and door in {part(name) for name in all_imports(module) if name.startswith("limner")}
    }
    assert inside <= DOORS[door]


@pytest.mark.parametrize("module", [module for module in FILES if part(module) != "engine"])
def test_only_the_engine_knows_tensors(module: str) -> None:
    assert {name.split(".")[0] for name in all_imports(module)} & TENSOR_LIBRARIES == set()


def test_there_are_no_import_cycles() -> None:
    """A package's own ``__init__`` is loaded before its modules, which is no cycle unless they name it."""
    graph = {module: imports_when_loaded(module) & set(FILES) for module in FILES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for following in sorted(graph[module]):
                visit(following, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", FILES)
def test_a_module_opens_by_saying_what_it_is_for(module: str) -> None:
    assert (ast.get_docstring(tree(module)) or "").strip()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("limner", {*TENSOR_LIBRARIES, "fastapi", "pydantic", "numpy", "PIL"}),
        ("limner.cli", {*TENSOR_LIBRARIES, "fastapi", "pydantic", "typer", "rich", "numpy", "PIL"}),
        ("limner.cli.app", {*TENSOR_LIBRARIES, "fastapi", "pydantic", "rich", "httpx2", "numpy", "PIL"}),
        ("limner.catalogue", {*TENSOR_LIBRARIES, "fastapi", "numpy"}),
        ("limner.service", {*TENSOR_LIBRARIES, "fastapi", "numpy"}),
        ("limner.api.app", TENSOR_LIBRARIES),
        ("limner.api.serve", TENSOR_LIBRARIES),
        ("limner.cli.local", TENSOR_LIBRARIES),
    ],
)
def test_importing_stays_light(module: str, heavy: set[str]) -> None:
    line = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
