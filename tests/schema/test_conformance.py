"""Requests made from the OpenAPI document, good and bad: no 5xx, nothing undocumented, nothing bad let through."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pybase64
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.python import asgi

from limner.api.app import create_app
from limner.config import load_settings
from tests.fakes import FakeBackend, opener
from tests.media.hostile import black_png

DATA = Path(tempfile.gettempdir()) / f"limner-schema-{os.getpid()}"
GOOD_URL = "data:image/png;base64," + pybase64.b64encode_as_string(black_png())
schemathesis.openapi.format("picture-url", st.sampled_from([GOOD_URL, GOOD_URL, "http://127.0.0.1/x.png", "data:,"]))
schemathesis.openapi.format("webhook-url", st.sampled_from(["https://example.org/done", "http://10.0.0.1/"]))
schemathesis.openapi.format("binary", st.sampled_from([black_png(), black_png(), b"", b"GIF89a"]))
SETTINGS = {"data": DATA, "fetch": False, "queue_limit": 1000}
APP = create_app(load_settings(None, SETTINGS), opener(FakeBackend(), "sketch", "Qwen/Qwen-Image"))
SEEN: Counter[Any] = Counter()

def api(max_examples: int) -> schemathesis.BaseSchema:
    """The app's document; the lifespan begins with the first request and ends with the module."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"max-examples": max_examples, "deterministic": True, "database": "none", "no-shrink": True},
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_dict(APP.openapi(), config=config)
    schema.app = APP
    return schema


@dataclass(frozen=True, slots=True)
class Known:
    """A job and a picture that exist."""

    job_id: str
    file_id: str

    def put_into(self, case: schemathesis.Case) -> None:
        """Ask for what exists wherever the id itself is not what is wrong with the request."""
        path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
        if path is None or path.mode.is_negative or case.method == "DELETE":
            return
        names = {"job_id": self.job_id, "id": self.file_id, "model_id": "sketch"}
        for name in case.path_parameters.keys() & names.keys():
            case.path_parameters[name] = names[name]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    with asgi.get_client(APP) as client:
        made = client.post("/v1/images/generations", json={"prompt": "x"}).json()["limner"]
    yield Known(made["job_id"], made["files"][0])
    asgi.shutdown_lifespans()
    shutil.rmtree(DATA, ignore_errors=True)
    for k, v in sorted(SEEN.items()): print(k, v)


@api(5).parametrize()
def test_requests_conform(case: schemathesis.Case, known: Known) -> None:
    known.put_into(case)
    r = case.call(); case.response_status = r.status_code; case.validate_response(r)
    SEEN[case.operation.label, case.meta.phase.name.value, case.meta.generation.mode.value, case.response_status] += 1
