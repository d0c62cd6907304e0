"""The A1111 client of PyPI, ``webuiapi``, against a running server."""

import threading
import time
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Server
from tests.e2e.test_conversation import pixels

webuiapi: Any = pytest.importorskip("webuiapi", reason="the client webuiapi is not installed")

Api: TypeAlias = Any  # the client has no types
Result: TypeAlias = Any
SD = "Realistic_Vision_V5.1.safetensors"


def api_of(server: Server, mount: str = "/sdapi/v1") -> Api:
    return webuiapi.WebUIApi(baseurl=f"{server.url}{mount}")


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    opened = api_of(server)
    yield opened
    opened.session.close()


def picture(colour: str, size: tuple[int, int] = (256, 256)) -> Image.Image:
    return Image.new("RGB", size, colour)


def warned(result: Result) -> set[str]:
    return {warning["param"] for warning in result.info["limner_warnings"]}


def test_txt2img(api: Api) -> None:
    result = api.txt2img(
        prompt="a red circle on a white background", negative_prompt="blue", seed=3, steps=8, cfg_scale=3,
        width=256, height=256, batch_size=2, n_iter=2,
    )  # fmt: skip
    assert [image.size for image in result.images] == [(256, 256)] * 4
    assert result.info["all_seeds"] == [3, 4, 5, 6]
    assert result.parameters["prompt"] == "a red circle on a white background"
    assert warned(result) == set(), 'what the client sends by itself asks for "Euler a", which sketch has'
    again = api.txt2img(prompt="a red circle on a white background", negative_prompt="blue", seed=4, steps=8,
                        cfg_scale=3, width=256, height=256)  # fmt: skip
    difference = np.abs(pixels(again.image) - pixels(result.images[1]))
    assert difference.max() <= 1, "drawn together, pictures may differ by rounding"
    red, green, blue = again.image.convert("RGB").resize((3, 3), Image.Resampling.BOX).getpixel((1, 1))
    assert red > green + 30
    assert red > blue + 30


def test_img2img_and_inpainting(api: Api) -> None:
    edited = api.img2img(images=[picture("red")], prompt="make it blue", seed=1, width=256, height=256)
    assert edited.image.size == (256, 256)
    assert warned(edited) == {"denoising_strength"}
    original = picture("white", (384, 320))
    mask = Image.new("L", original.size, 0)
    mask.paste(255, (96, 96, 224, 224))
    painted = api.img2img(images=[original], mask_image=mask, mask_blur=0, prompt="a blue square", seed=1, width=256,
                          height=256, denoising_strength=1.0, inpaint_full_res_padding=32)  # fmt: skip
    assert painted.image.size == original.size
    result = painted.image.convert("RGB")
    assert result.getpixel((10, 10)) == result.getpixel((300, 300)) == (255, 255, 255)
    assert result.crop((96, 96, 224, 224)).tobytes() != original.crop((96, 96, 224, 224)).tobytes()


def test_progress_and_interruption(api: Api, server: Server) -> None:
    results: list[webuiapi.WebUIApiResult] = []
    other = api_of(server)
    asked = {"prompt": "a red circle", "steps": 30, "width": 256, "height": 256, "n_iter": 20}
    drawing = threading.Thread(target=lambda: results.append(other.txt2img(**asked)))
    drawing.start()
    try:
        seen: list[dict[str, Any]] = []
        deadline = time.monotonic() + 60
        while not any(told["current_image"] for told in seen) and time.monotonic() < deadline:
            seen.append(api.get_progress())
            time.sleep(0.02)
        assert seen[-1]["current_image"], "no preview was ever shown"
        shares = [told["progress"] for told in seen]
        assert shares == sorted(shares)
        assert 0 < shares[-1] < 1
        assert seen[-1]["state"]["job_count"] == 20
        assert api.interrupt() == {}
    finally:
        api.interrupt()
        drawing.join(60)
    assert not drawing.is_alive()
    assert len(results[0].images) < 20
    assert len(results[0].info["all_seeds"]) == len(results[0].images)
    api.util_wait_for_ready(check_interval=0.1)


def test_what_fills_its_menus(api: Api) -> None:
    assert api.util_get_model_names() == ["sketch"]
    assert "Euler" in api.util_get_sampler_names()
    assert "karras" in api.util_get_scheduler_names()
    assert [one["name"] for one in api.get_upscalers()] == ["None", "Lanczos", "Nearest", "resample"]
    assert api.get_memory()["ram"]["total"] > 0
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    for empty in (api.get_sd_vae, api.get_loras, api.get_latent_upscale_modes, api.get_hypernetworks,
                  api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles):  # fmt: skip
        assert empty() == []
    assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert api.get_cmd_flags()["api"] is True
    assert api.refresh_checkpoints() is None
    assert api.skip() is None


def test_extras_and_png_info(api: Api) -> None:
    drawn = api.txt2img(prompt="a star", seed=2, steps=4, width=256, height=256)
    told = api.png_info(drawn.image)
    assert told.info == drawn.info["infotexts"][0]
    assert told.parameters["Seed"] == "2"
    large = api.extra_single_image(drawn.image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5)
    assert large.image.size == (384, 384)
    both = api.extra_batch_images([picture("red"), picture("blue")], upscaler_1="Nearest")
    assert [image.size for image in both.images] == [(512, 512)] * 2
    with pytest.raises(RuntimeError, match="R-ESRGAN"):
        api.extra_single_image(drawn.image, upscaler_1=webuiapi.Upscaler.ESRGAN_4x)
    assert api.interrogate(drawn.image).info.endswith(".")


def test_refusals_say_why(api: Api) -> None:
    with pytest.raises(RuntimeError) as refused:
        api.txt2img(prompt="x", width=8)
    status, text = refused.value.args
    assert status == 422
    assert "sides from 128 to 512" in text
    with pytest.raises(RuntimeError, match="hr"):
        api.txt2img(prompt="x", enable_hr=True)


@pytest.mark.parametrize("mount", ["/sdapi/v1", "/v2/automatic1111/sdapi/v1"])
def test_the_emulator_has_every_model(emulator: Server, mount: str) -> None:
    api = api_of(emulator, mount)
    assert urlsplit(api.baseurl).path == mount
    api.util_set_model("realistic vision")
    assert api.util_get_current_model() == SD
    assert "DPM++ 2M" in api.util_get_sampler_names()
    result = api.txt2img(prompt="a red circle", steps=10, sampler_name="DPM++ 2M", scheduler="Karras", width=768,
                         height=512, seed=1)  # fmt: skip
    assert result.image.size == (768, 512)
    assert result.info["sd_model_name"] == SD
    assert result.info["sampler_name"] == "DPM++ 2M Karras"
    assert {"model", "size", "sampler"} <= warned(result)
    larger = api.txt2img(prompt="a red circle", steps=4, width=256, height=192, batch_size=2, seed=1, enable_hr=True,
                         hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Lanczos, denoising_strength=0.5)  # fmt: skip
    assert [image.size for image in larger.images] == [(512, 384)] * 2
    assert (larger.info["all_seeds"], larger.info["denoising_strength"]) == ([1, 2], 0.5)
