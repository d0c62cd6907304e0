"""Requests made from the OpenAPI document, good and bad: no 5xx, nothing undocumented, nothing bad let through."""

import os
import shutil
import tempfile
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
from schemathesis.specs.openapi.checks import negative_data_rejection

from limner.api.app import create_app
from limner.config import load_settings
from tests.fakes import FakeBackend, opener
from tests.media.hostile import black_png

DATA = Path(tempfile.gettempdir()) / f"limner-schema-{os.getpid()}"
SETTINGS = {"data": DATA, "fetch": False, "queue_limit": 1000, "unknown_parameters": "warn"}
APP: Any = create_app(load_settings(None, SETTINGS), opener(FakeBackend(), "sketch", "Qwen/Qwen-Image"))

PICTURE_URL = "data:image/png;base64," + pybase64.b64encode_as_string(black_png())
# What the document's own formats stand for; mostly good, so that requests get past the first check.
FORMATS: dict[str, list[str] | list[bytes]] = {
    "picture-url": [PICTURE_URL, PICTURE_URL, "http://127.0.0.1/x.png", "data:,"],
    "picture-base64": [PICTURE_URL.partition(",")[2], PICTURE_URL.partition(",")[2], "AA==", ""],
    "binary": [black_png(), black_png(), b"", b"GIF89a"],
    "webhook-url": ["https://example.org/done", "https://example.org:443/", "http://10.0.0.1/"],
    "model": ["sketch", "sketch", "Qwen/Qwen-Image", "no-such-model"],
    "size": ["auto", "64x64", "128x192", "1x1", "999999x999999"],
    "preference": ["respond-async", "respond-async, wait=1", "return=minimal"],
    "moment": ["0", "1790000000", "2026-11-30", "2026-11-30T12:00:00+01:00", "yesterday"],
}
for name, values in FORMATS.items():
    schemathesis.openapi.format(name, st.sampled_from(values))


# The app draws random numbers in its own thread, which Hypothesis takes for a strategy's doing.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
REFUSALS = ["400", "401", "403", "404", "405", "408", "409", "413", "415", "422", "429"]


UNGENERATED = ["/v1/images/describe", "/v1/images/region-edit", "/v1/images/remove-background"]


def api(max_examples: int) -> schemathesis.BaseSchema:
    """The app by its document: beside every bound and wrong type, so many random requests for an operation."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"max-examples": max_examples, "deterministic": True, "database": "none", "no-shrink": True},
            # Off: a document cannot say which model has which parameter, so good types may still be refused.
            # 408: the timeout that is asked for may be over before what is bad is come to.
            "checks": {
                "positive_data_acceptance": {"enabled": False},
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            },
        }
    )
    schema = schemathesis.openapi.from_dict(APP.openapi(), config=config)
    schema.app = APP
    return schema


@dataclass(frozen=True, slots=True)
class Made:
    """A job that has finished, and its picture."""

    job_id: str
    file_id: str

    @classmethod
    def anew(cls) -> "Made":
        with asgi.get_client(APP) as client:
            made = client.post("/v1/images/generations", json={"prompt": "x"}).json()["limner"]
        return cls(made["job_id"], made["files"][0])

    def put_into(self, case: schemathesis.Case[Any]) -> None:
        """Have the request name what exists, wherever the name itself is not what is wrong with it."""
        if is_good(case, ParameterLocation.PATH):
            known = {"job_id": self.job_id, "id": self.file_id, "model_id": "sketch"}
            case.path_parameters.update({name: known[name] for name in case.path_parameters.keys() & known.keys()})
        if is_good(case, ParameterLocation.QUERY) and case.query.get("after"):
            case.query["after"] = self.file_id if "files" in case.path else self.job_id


def is_good(case: schemathesis.Case[Any], part: ParameterLocation) -> bool:
    assert case.meta is not None
    return part in case.meta.components and case.meta.components[part].mode.is_positive


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    yield Made.anew()
    asgi.shutdown_lifespans()
    shutil.rmtree(DATA, ignore_errors=True)


def check(case: schemathesis.Case[Any], made: Made) -> None:
    """One request and all that schemathesis checks about its answer."""
    (Made.anew() if case.method == "DELETE" else made).put_into(case)
    if is_good(case, ParameterLocation.BODY) and isinstance(case.body, dict) and "timeout" in case.body:
        case.body["timeout"] = 60  # 5e-324 s is as good, but nothing that comes after it is reached
    # A form says everything in text: an array of one word is that word.
    unsaid = case.media_type == "multipart/form-data" and not is_good(case, ParameterLocation.BODY)
    case.call_and_validate(excluded_checks=[negative_data_rejection] if unsaid else [])


@api(max_examples=8).parametrize()
def test_requests_conform(case: schemathesis.Case[Any], made: Made) -> None:
    check(case, made)


# With that many examples the generator itself fails ("Unsupported type: 'Binary'") on forms that demand a file.
@pytest.mark.heavy
@pytest.mark.timeout(1800)
@api(max_examples=400).exclude(path=UNGENERATED).parametrize()
def test_many_requests_conform(case: schemathesis.Case[Any], made: Made) -> None:
    check(case, made)
