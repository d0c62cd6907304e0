"""The official Node SDK against the running server."""

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import Server

HERE = Path(__file__).parent / "node"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_generate_edit_stream_and_errors(server: Server) -> None:
    assert (HERE / "node_modules").exists(), "run npm ci in tests/e2e/node (make test does)"
    run = subprocess.run(
        ["node", "images.mjs", server.api], cwd=HERE, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["seeds"] == [3, 4]
    for b64 in (*seen["pictures"], seen["edited"]):
        Image.open(io.BytesIO(base64.b64decode(b64))).verify()
    assert seen["editedSize"] == "256x256"
    assert seen["events"] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert seen["usage"]["total_tokens"] > 0
    assert seen["errors"] == [
        [400, "n", "BadRequestError"],
        [404, "model", "NotFoundError"],
        [400, "no_such_parameter", "BadRequestError"],
    ]
