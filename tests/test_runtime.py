"""Services put together from settings: what is found, and what happens to models that do not load."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

from limner import runtime
from limner.catalogue import Catalogue, Policy, resolve
from limner.config import Settings, load_settings
from limner.core import Operation, Request
from limner.errors import InvalidRequest
from limner.jobs import Outcome
from limner.roster import Roster
from limner.service import Service
from tests.fakes import FakeBackend

STEPS = "num_inference_steps"


def model_without_a_pipeline(path: Path) -> str:
    """A directory that looks like a model until it is loaded."""
    path.mkdir()
    (path / "model_index.json").write_text(json.dumps({"_class_name": "NoSuchPipeline"}))
    return str(path)


def settings_for(tmp_path: Path, *models: str, suite: str = "no") -> Settings:
    return load_settings(None, {"data": tmp_path / "data", "device": "cpu", "models": models, "suite": suite})


async def settled(service: Service) -> dict[str, str]:
    """Each model's state once loading has ended."""
    with pytest.raises(InvalidRequest, match="NoSuchPipeline"):
        await service.ready()
    return {model.spec.id: model.state for model in service.roster}


async def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    models = [model_without_a_pipeline(tmp_path / name) for name in ("one", "two")]
    async with runtime.open_service(settings_for(tmp_path, *models)) as service:
        assert await settled(service) == {"one": "failed", "two": "failed"}


async def test_one_broken_model_does_not_keep_the_others_from_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(runtime, "release_free_memory", released.set)
    monkeypatch.setattr("limner.service.service.IDLE_S", 0)
    broken = model_without_a_pipeline(tmp_path / "broken")
    async with runtime.open_service(settings_for(tmp_path, broken, "sketch")) as service:
        assert await settled(service) == {"broken": "failed", "sketch": "ready"}
        job = await service.submit(Request(Operation.GENERATE, "sketch", "a red circle", params={STEPS: 1}))
        assert isinstance([event async for event in job.events()][-1], Outcome)
        assert await asyncio.to_thread(released.wait, 10), "memory was not given back when idle"


async def test_a_grounder_that_cannot_be_loaded_is_known_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Queue[str]()
    monkeypatch.setattr(runtime.logger, "error", lambda message, *values: told.put_nowait(message % values))
    settings = settings_for(tmp_path, "sketch").model_copy(update={"grounder": "embedded:nobody"})
    async with runtime.open_service(settings) as service:
        await service.ready()
        async with asyncio.timeout(30):
            assert "the grounder cannot be loaded: there is no embedded model 'nobody'" in await told.get()


def test_the_embedded_model_is_served_when_none_is_named(tmp_path: Path) -> None:
    assert [spec.id for spec in runtime.find_models(settings_for(tmp_path))] == ["sketch"]


def test_the_rest_of_the_suite_comes_with_it_unless_others_draw(tmp_path: Path) -> None:
    def found(*models: str, suite: str) -> list[str]:
        return [spec.id for spec in runtime.find_models(settings_for(tmp_path, *models, suite=suite))]

    assert found(suite="auto") == ["sketch", "reader", "cutout", "resample"]
    assert found("Qwen/Qwen-Image", suite="auto") == ["Qwen/Qwen-Image"]
    assert found("Qwen/Qwen-Image", "reader", suite="yes") == ["Qwen/Qwen-Image", "reader", "cutout", "resample"]


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="would be served as 'sketch', like another one"):
        runtime.find_models(settings_for(tmp_path, "sketch", "sketch"))


def roster_for(tmp_path: Path, *models: str, stand_in: str = "", suite: str = "no") -> Roster:
    settings = settings_for(tmp_path, *models, suite=suite).model_copy(update={"stand_in": stand_in})
    return runtime.roster_of(settings, runtime.find_models(settings), lambda spec: FakeBackend())


def test_without_a_stand_in_only_what_is_loaded_is_served(tmp_path: Path) -> None:
    assert [model.spec.id for model in roster_for(tmp_path)] == ["sketch"]


def test_a_stand_in_answers_for_every_model_of_the_catalogue(tmp_path: Path) -> None:
    roster = roster_for(tmp_path, stand_in="sketch", suite="auto")
    assert {model.spec.id for model in roster} == {spec.id for spec in Catalogue.builtin().models()}
    assert roster.default.spec.id == "sketch"
    assert [model.spec.id for model in roster.own] == ["sketch", "reader", "cutout", "resample"]
    stood_for = {"birefnet-general": "cutout", "Qwen/Qwen3-VL-4B-Instruct": "reader"}
    for name, double in stood_for.items():
        assert roster.find(name).stand_in is roster.find(double)
    assert roster.find("google/gemini-3-pro-T2I").stand_in is roster.default


def test_a_stand_in_that_is_not_among_the_models_is_loaded_after_them(tmp_path: Path) -> None:
    roster = roster_for(tmp_path, "Qwen/Qwen-Image", stand_in="sketch")
    assert [model.spec.id for model in roster.own] == ["Qwen/Qwen-Image", "sketch"]
    assert roster.default.spec.id == "Qwen/Qwen-Image"
    stand_in = roster.find("flux_pro").stand_in
    assert stand_in is not None
    assert stand_in.spec.id == "sketch"


def test_a_model_that_is_served_draws_for_those_whose_routes_name_it(tmp_path: Path) -> None:
    roster = roster_for(tmp_path, "Qwen/Qwen-Image-Edit-2511")
    assert [model.spec.id for model in roster] == ["Qwen/Qwen-Image-Edit-2511", "qwen_image_edit"]
    assert roster.find("qwen_image_edit").stand_in is roster.default


def roster_with_api(tmp_path: Path, name: str) -> Roster:
    there = {"vision_url": "https://me:hidden@api.test/v1", "vision_model": name}
    settings = settings_for(tmp_path, suite="auto").model_copy(update=there)
    return runtime.roster_of(settings, runtime.find_models(settings), lambda spec: FakeBackend())


def test_an_api_that_sees_is_told_what_its_clients_ask_for(tmp_path: Path) -> None:
    seer = roster_with_api(tmp_path, "seer").find("seer").spec
    params = {"max_tokens": 64, "temperature": 0.5}
    asked = Request(Operation.DESCRIBE, "seer", "why? " * 10_000, params=params)
    resolution = resolve(asked, seer, Policy())
    assert (resolution.request.params, resolution.warnings) == (params, ())
    assert "hidden" not in repr(seer)


def test_an_api_that_sees_is_told_no_seed(tmp_path: Path) -> None:
    seer = roster_with_api(tmp_path, "seer").find("seer").spec
    warnings = resolve(Request(Operation.DESCRIBE, "seer", "why?", seed=7), seer, Policy()).warnings
    assert [(warning.param, warning.code) for warning in warnings] == [("seed", "ignored")]


@pytest.mark.parametrize("name", ["sketch", "Sketch", "reader"])
def test_an_api_that_sees_has_a_name_of_its_own(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"'vision_model': '{name}'") as raised:
        roster_with_api(tmp_path, name)
    assert raised.value.param == "vision_model"


def test_a_name_without_weights_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'flux_pro' has no weights to load here; .* --stand-in sketch"):
        runtime.find_models(settings_for(tmp_path, "flux_pro"))


async def test_a_stand_in_draws_what_another_models_rules_allow(tmp_path: Path) -> None:
    settings = settings_for(tmp_path).model_copy(update={"stand_in": "sketch"})
    async with runtime.open_service(settings) as service:
        await service.ready()
        request = Request(Operation.GENERATE, "dall-e-3", "a red circle", params={"size": "1792x1024"})
        job = await service.submit(request)
        outcome = await job.result()
        assert job.model == "dalle"
        assert [str(picture.size) for picture in outcome.pictures] == ["1792x1024"]
        assert outcome.warnings[0].message == "dalle is not served here: sketch stands in for it"
        with pytest.raises(InvalidRequest, match="'size': '512x512'"):
            await service.submit(Request(Operation.GENERATE, "dalle", "a cat", params={"size": "512x512"}))
