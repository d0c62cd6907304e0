from dataclasses import replace

from limner.catalogue import describe
from tests.catalogue.make import CATALOGUE


def test_describes_a_model_for_lists_and_forms() -> None:
    entry = describe(CATALOGUE.get("z-image-turbo"))
    assert entry["id"] == "Tongyi-MAI/Z-Image-Turbo"
    assert entry["object"] == "model"
    assert entry["owned_by"] == "limner"
    assert entry["created"] == 1764115200  # 2025-11-26
    assert entry["operations"] == ["generate", "edit", "inpaint", "outpaint", "region_edit", "vary"]
    assert entry["limits"] == {"max_images": 1, "max_n": 10, "max_prompt_chars": 32_000}
    assert entry["licence"] == "Apache-2.0"
    assert entry["price_per_image"] is None
    parameters = entry["parameters"]
    assert isinstance(parameters, dict)
    assert parameters["num_inference_steps"] == {
        "type": "integer",
        "description": "Denoising steps: more is slower and usually finer.",
        "default": 9,
        "minimum": 1,
        "maximum": 16,
    }
    guidance, true_cfg, strength = (parameters[name] for name in ("guidance_scale", "true_cfg_scale", "strength"))
    assert isinstance(guidance, dict)
    assert isinstance(true_cfg, dict)
    assert isinstance(strength, dict)
    assert (guidance["default"], guidance["forced"]) == (0.0, 0)
    assert "Qwen-Image" in str(true_cfg["ignored"])
    assert strength["operations"] == ["edit", "inpaint", "outpaint", "region_edit", "vary"]
    assert strength["defaults"] == {"inpaint": 1.0, "outpaint": 0.9, "region_edit": 1.0, "vary": 0.7}


def test_describes_a_price_per_picture() -> None:
    assert describe(replace(CATALOGUE.get("sketch"), price_per_image=0.04))["price_per_image"] == 0.04


def test_describes_sizes() -> None:
    assert describe(CATALOGUE.get("sketch"))["sizes"] == {
        "default": "256x256",
        "multiple": 32,
        "min_side": 128,
        "max_side": 512,
        "max_pixels": 512 * 512,
        "edit_pixels": 256 * 256,
        "choices": [],
        "min_input_side": 64,
        "max_input_ratio": 8,
        "native": "256x256",
    }
    sdxl = describe(CATALOGUE.get("sdxl"))["sizes"]
    assert isinstance(sdxl, dict)
    assert (sdxl["min_input_side"], sdxl["max_input_ratio"]) == (1, None)
