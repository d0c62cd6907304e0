"""Which class does what, for checkpoints that no catalogue entry describes."""

import pytest

from limner.core import Operation
from limner.engine.pipelines import operations_of


@pytest.mark.parametrize(
    ("named", "operation", "found"),
    [
        ("Flux2KleinPipeline", Operation.INPAINT, "Flux2KleinInpaintPipeline"),
        ("Flux2KleinPipeline", Operation.EDIT, "Flux2KleinPipeline"),
        ("QwenImagePipeline", Operation.INPAINT, "QwenImageInpaintPipeline"),
        ("QwenImagePipeline", Operation.GENERATE, "QwenImagePipeline"),
        ("StableDiffusionXLPipeline", Operation.EDIT, "StableDiffusionXLImg2ImgPipeline"),
        ("ZImagePipeline", Operation.INPAINT, "ZImageInpaintPipeline"),
        ("FluxFillPipeline", Operation.INPAINT, "FluxFillPipeline"),
        ("QwenImageEditPlusPipeline", Operation.EDIT, "QwenImageEditPlusPipeline"),
        ("QwenImageEditPipeline", Operation.INPAINT, "QwenImageEditInpaintPipeline"),
        ("FluxKontextPipeline", Operation.INPAINT, "FluxKontextInpaintPipeline"),
        ("StableDiffusionXLImg2ImgPipeline", Operation.GENERATE, "StableDiffusionXLPipeline"),
    ],
)
def test_operations_of_a_class(named: str, operation: Operation, found: str) -> None:
    assert operations_of(named)[operation] == found


def test_an_unknown_class_draws() -> None:
    assert operations_of("SomethingNewPipeline") == {Operation.GENERATE: "SomethingNewPipeline"}
