"""Architectures by name."""

import sys

import pytest

from limner.engine.speaking.kind import Kind, kind_of
from limner.errors import InvalidRequest


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("Qwen3VLForConditionalGeneration", Kind.SEES),
        ("SmolVLMForConditionalGeneration", Kind.SEES),
        ("VisionEncoderDecoderModel", Kind.CAPTIONS),
        ("Qwen3ForCausalLM", Kind.WRITES),
        ("GPT2LMHeadModel", Kind.WRITES),
    ],
)
def test_the_kind_of_an_architecture(architecture: str, kind: Kind) -> None:
    assert kind_of(architecture, "it") is kind


def test_what_draws_does_not_speak() -> None:
    with pytest.raises(InvalidRequest, match="here is a FluxPipeline, which does not answer in words"):
        kind_of("FluxPipeline", "here")


def test_the_light_part_brings_no_torch() -> None:
    import subprocess

    program = "import sys, limner.engine.speaking, limner.engine.speaking.kind; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
