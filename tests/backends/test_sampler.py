"""A sampler asked for by name reaches the pipeline, and only where the model can use it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from limner.backends.local import LocalBackend
from limner.catalogue import Catalogue, ModelSpec, Policy, resolve
from limner.core import Finished, Operation, Picture, Request, Size
from limner.engine import EngineSettings
from limner.errors import InvalidRequest, UnknownParameter
from tests.tiny_pipelines import build

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:__array_.*:DeprecationWarning"),  # of numpy 2, in diffusers
]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """Stable Diffusion 1.5, with tiny weights."""
    folder = tmp_path_factory.mktemp("sd15")
    build("sd15").save_pretrained(folder)
    known = Catalogue.builtin().get("sd-1.5")
    return replace(known, routes=(replace(known.routes[0], source=str(folder)),))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(spec: ModelSpec) -> AsyncIterator[LocalBackend]:
    made = LocalBackend(EngineSettings(device="cpu", lanes=1, threads=1), lambda name: spec)
    await made.load(spec)
    yield made
    await made.aclose()


async def drawn(backend: LocalBackend, spec: ModelSpec, **params: str | int) -> bytes:
    asked = Request(Operation.GENERATE, spec.id, "a cat", size=Size(64, 64), seed=1, params=params)
    events = [event async for event in backend.generate(resolve(asked, spec, Policy()).request)]
    assert isinstance(events[-1], Finished)
    (picture,) = events[-1].pictures
    assert isinstance(picture, Picture)
    return picture.pixels


async def test_a_sampler_changes_what_is_drawn(backend: LocalBackend, spec: ModelSpec) -> None:
    own = await drawn(backend, spec, num_inference_steps=4)
    chosen = await drawn(backend, spec, num_inference_steps=4, sampler="DPM++ 2M Karras")
    assert chosen != own
    assert chosen == await drawn(backend, spec, num_inference_steps=4, sampler="DPM++ 2M Karras")
    assert own == await drawn(backend, spec, num_inference_steps=4)


async def test_models_with_a_sampler_of_their_own_have_no_choice() -> None:
    flux = Catalogue.builtin().get("flux.1-dev")
    asked = Request(Operation.GENERATE, flux.id, "a cat", params={"sampler": "Euler a"})
    with pytest.raises(UnknownParameter, match="sampler"):
        resolve(asked, flux, Policy())


async def test_sketch_draws_with_new_noise_and_edits_without() -> None:
    sketch = Catalogue.builtin().get("sketch")
    for operation, inputs, usual in (
        (Operation.GENERATE, (), "Euler a"),
        (Operation.EDIT, (Picture("RGB", Size(64, 64), bytes(64 * 64 * 3)),), "Euler"),
    ):
        asked = Request(operation, sketch.id, "a cat", inputs=inputs)
        assert resolve(asked, sketch, Policy()).request.params["sampler"] == usual
        other = replace(asked, params={"sampler": "Euler"})
        assert resolve(other, sketch, Policy()).request.params["sampler"] == "Euler"
    with pytest.raises(InvalidRequest, match="Heun"):
        resolve(Request(Operation.GENERATE, sketch.id, "a cat", params={"sampler": "Heun"}), sketch, Policy())
