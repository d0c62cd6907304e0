"""Services put together from settings: what is found, and what happens to models that do not load."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

from limner import runtime
from limner.config import Settings, load_settings
from limner.core import Operation, Request
from limner.errors import InvalidRequest
from limner.jobs import Outcome
from limner.service import Service

STEPS = "num_inference_steps"


def model_without_a_pipeline(path: Path) -> str:
    """A directory that looks like a model until it is loaded."""
    path.mkdir()
    (path / "model_index.json").write_text(json.dumps({"_class_name": "NoSuchPipeline"}))
    return str(path)


def settings_for(tmp_path: Path, *models: str) -> Settings:
    return load_settings(None, {"data": tmp_path / "data", "device": "cpu", "models": models})


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


def test_the_embedded_model_is_served_when_none_is_named(tmp_path: Path) -> None:
    assert [spec.id for spec in runtime.find_models(settings_for(tmp_path))] == ["sketch"]


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="would be served as 'sketch', like another one"):
        runtime.find_models(settings_for(tmp_path, "sketch", "sketch"))
