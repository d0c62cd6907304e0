"""Drives a running server with LiteLLM; prints what it saw as one JSON line. Run with the clients' own interpreter.

usage: python litellm_client.py SERVER
"""

import io
import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the list of prices that comes with it, not the newest

import litellm
from PIL import Image

SERVER = sys.argv[1]
OPENAI: dict[str, Any] = {"api_base": f"{SERVER}/v1", "api_key": "unused"}
OPENROUTER: dict[str, Any] = {"api_base": f"{SERVER}/api/v1", "api_key": "unused"}
GEMINI: dict[str, Any] = {"api_base": f"{SERVER}/v1beta", "api_key": "unused"}
MESSAGES = [{"role": "user", "content": "a red circle on a white background"}]
BOTH = ["image", "text"]
litellm.suppress_debug_info = True


def png(color: tuple[int, int, int], name: str = "picture.png") -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (128, 128), color).save(file, "PNG")
    file.name = name
    return file


def drawn(reply: Any) -> dict[str, Any]:
    return {"pictures": [item.b64_json for item in reply.data], "urls": [item.url for item in reply.data]}


def said(reply: Any) -> dict[str, Any]:
    message = reply.choices[0].message
    urls = [image["image_url"]["url"] for image in getattr(message, "images", None) or []]
    return {"content": message.content, "images": urls, "tokens": reply.usage.completion_tokens}


def streamed() -> dict[str, Any]:
    seen: dict[str, Any] = {"images": [], "tokens": 0}
    for chunk in litellm.completion(
        model="openai/sketch", messages=MESSAGES, modalities=BOTH, stream=True,
        stream_options={"include_usage": True}, **OPENAI,
    ):  # fmt: skip
        for choice in chunk.choices:
            seen["images"] += [image["image_url"]["url"] for image in getattr(choice.delta, "images", None) or []]
        if getattr(chunk, "usage", None):
            seen["tokens"] = chunk.usage.completion_tokens
    return seen


def failure(**call: Any) -> list[Any]:
    try:
        litellm.image_generation(prompt="a red circle", **call, **OPENAI)
    except Exception as error:
        return [type(error).__name__, getattr(error, "status_code", None), str(error)]
    return []


seen = {
    "generated": drawn(
        litellm.image_generation(
            model="openai/sketch", prompt="a red circle", n=2, size="256x256", extra_body={"seed": 3}, **OPENAI
        )
    ),
    "gpt_image": drawn(
        litellm.image_generation(model="openai/gpt-image-1", prompt="a red circle", quality="high", **OPENAI)
    ),
    "dalle": drawn(litellm.image_generation(model="openai/dall-e-3", prompt="a red circle", **OPENAI)),
    "edited": drawn(litellm.image_edit(model="openai/sketch", image=png((255, 0, 0)), prompt="make it blue", **OPENAI)),
    "edited_two": drawn(
        litellm.image_edit(
            model="openai/gpt-image-1", image=[png((255, 0, 0)), png((0, 255, 0))], prompt="put them together", **OPENAI
        )
    ),
    "masked": drawn(
        litellm.image_edit(
            model="openai/sketch", image=png((255, 0, 0)), mask=png((255, 255, 255), "mask.png"),
            prompt="a yellow circle", **OPENAI,
        )
    ),
    "chat": said(litellm.completion(model="openai/sketch", messages=MESSAGES, modalities=BOTH, **OPENAI)),
    "markdown": said(litellm.completion(model="openai/sketch", messages=MESSAGES, **OPENAI)),
    "stream": streamed(),
    "openrouter": said(
        litellm.completion(
            model="openrouter/google/gemini-2.5-flash-image", messages=MESSAGES, modalities=BOTH,
            image_config={"aspect_ratio": "21:9"}, **OPENROUTER,
        )
    ),
    "openrouter_image": drawn(
        litellm.image_generation(
            model="openrouter/google/gemini-3-pro-image-preview", prompt="a red circle", **OPENROUTER
        )
    ),
    "gemini": said(
        litellm.completion(model="gemini/gemini-2.5-flash-image", messages=MESSAGES, modalities=BOTH, **GEMINI)
    ),
    "gemini_image": drawn(
        litellm.image_generation(model="gemini/gemini-2.5-flash-image", prompt="a red circle", **GEMINI)
    ),
    "imagen": drawn(
        litellm.image_generation(model="gemini/imagen-4.0-generate-001", prompt="a red circle", n=2, **GEMINI)
    ),
    "responses": [
        item.type
        for item in litellm.responses(
            model="openai/sketch", input="a red circle", tools=[{"type": "image_generation"}], **OPENAI
        ).output
    ],
    "errors": [failure(model="openai/no-such-model"), failure(model="openai/sketch", n=11)],
}  # fmt: skip
print(json.dumps(seen))
