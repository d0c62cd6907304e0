"""A picture's recipe as the texts that are put into its file.

Owns two forms of it: "parameters", the infotext of A1111 and its kin, which their tools read and people paste; and
"limner", the whole recipe as JSON, for drawing the picture again.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

RECIPE_KEYWORD = "limner"
INFOTEXT_KEYWORD = "parameters"


def recipe_text(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Keyword to text for `encode.encode`. ``recipe`` is JSON as ``limner.records.recipe`` makes it."""
    # Two characters that JSON holds and XML does not.
    whole = orjson.dumps(recipe).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return {INFOTEXT_KEYWORD: infotext(recipe), RECIPE_KEYWORD: whole}


def infotext(recipe: Mapping[str, Any]) -> str:
    """Prompt, ``Negative prompt: ...``, and a last line ``Steps: 20, CFG scale: 7, Seed: 1, Size: 512x512, ...``.

    Values with a comma, a colon or a line break are quoted as JSON strings, as A1111's readers expect.
    """
    params = recipe["params"]
    lines = [recipe["prompt"]]
    if params.get("negative_prompt"):
        lines.append(f"Negative prompt: {params['negative_prompt']}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in _settings(recipe, params)))
    return "\n".join(lines)


def _settings(recipe: Mapping[str, Any], params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A1111's names, in its order; a distilled model's guidance has Forge's name where there is a true one too."""
    cfg = params.get("true_cfg_scale")
    guidance = params.get("guidance_scale")
    named = [
        ("Steps", params.get("num_inference_steps")),
        ("Sampler", params.get("sampler")),
        ("CFG scale", guidance if cfg is None else cfg),
        ("Distilled CFG Scale", None if cfg is None else guidance),
        ("Seed", recipe["seed"]),
        ("Size", recipe["size"]),
        ("Model", recipe["model"]),
        ("Denoising strength", params.get("strength")),
        ("Loras", ", ".join(f"{one['path']}: {_number(one['scale'])}" for one in params.get("lora") or ()) or None),
        ("Version", f"limner {recipe['limner']}"),
    ]
    return [(name, value) for name, value in named if value is not None]


def _quoted(value: Any) -> str:
    text = str(_number(value))
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text


def _number(value: Any) -> Any:
    """``7`` reads better than ``7.0``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
