"""An S3 of our own: moto's server in a thread, reached through the variables that anybody would set."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from moto.server import ThreadedMotoServer

from limner.blobs import Blobs


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket; what the bucket of the test before held is gone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    httpx2.post(f"{endpoint}/moto-api/reset").raise_for_status()
    httpx2.put(f"{endpoint}/pictures").raise_for_status()
    return "pictures"


@pytest.fixture
def blobs(bucket: str, tmp_path: Path) -> Blobs:
    return Blobs(tmp_path, location=f"s3://{bucket}/prefix")
