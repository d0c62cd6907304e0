"""An app on fakes, driven in process through ASGI."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from limner.api.app import create_app
from limner.config import Settings, load_settings
from tests.fakes import FakeBackend, opener


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"data": tmp_path / "data", "queue_limit": 4})


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def app(settings: Settings, backend: FakeBackend) -> AsyncIterator[FastAPI]:
    application = create_app(settings, opener(backend, "sketch", "Tongyi-MAI/Z-Image-Turbo", "Qwen/Qwen-Image"))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://limner.test") as http:
        yield http
