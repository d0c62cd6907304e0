"""The data against the installed libraries: every class exists and takes every argument that it will be given."""

import inspect
import sys

import pytest

from limner.catalogue import Catalogue, ModelSpec
from limner.catalogue.spec import LOCAL
from tests.catalogue.make import LOADABLE
from tests.catalogue.test_load import EXAMPLE

DOCUMENTED = Catalogue.of_files({"watercolour.toml": EXAMPLE}).get("watercolour")


DRAWING = [spec for spec in (*LOADABLE, DOCUMENTED) if spec.loads and spec.loads.backend == LOCAL]
OTHERS = [spec for spec in LOADABLE if spec not in DRAWING]


@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: spec.id)
def test_architectures_exist(spec: ModelSpec) -> None:
    import transformers

    assert spec.loads is not None
    assert [name for name in spec.loads.pipelines.values() if not hasattr(transformers, name)] == []


@pytest.mark.parametrize("spec", DRAWING, ids=lambda spec: spec.id)
def test_pipelines_exist_and_take_the_arguments(spec: ModelSpec) -> None:
    import diffusers

    route = spec.loads
    assert route is not None
    for operation, name in route.pipelines.items():
        taken = inspect.signature(getattr(diffusers, name).__call__).parameters
        named = {p.argument for p in spec.params.values() if p.applies_to(operation) and p.argument}
        assert (named | set(route.arguments) | {"prompt"}) - set(taken) == set(), f"{name} for {operation}"


def test_the_catalogue_does_not_import_torch() -> None:
    import subprocess

    program = "import sys, limner.catalogue as c; c.Catalogue.builtin(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
