"""The routes of single operations as the OpenAPI document shows them: the fields of edits, and those of their own."""

from typing import Any, Final

from limner.api.documents import INTEGER, STRING, Docs, obj, ref
from limner.api.openai.docs import SCHEMAS as IMAGES
from limner.api.openai.docs import WORDLESS, changes
from limner.catalogue.derived import SIDES

_ADDED: Final[Docs] = {"type": "integer", "minimum": 0, "maximum": 4096, "description": "pixels to add on this side"}
_FEATHER: Final[Docs] = {"type": "integer", "minimum": 0, "maximum": 512, "description": "pixels of the seam"}
_REGION: Final[Docs] = {
    "type": "string",
    "pattern": r"\S",
    "maxLength": 1000,
    "description": "what is to be changed: it is looked for in the picture",
}
_SCALE: Final[Docs] = {
    "anyOf": [{"enum": ["2", "4", "8"]}, {"enum": [2, 4, 8]}],
    "description": "how many times longer the sides become; the model's own table may have other values",
}
_QUESTION: Final[Docs] = {"type": "string", "description": "the same as the prompt; what is in the pictures without it"}

SCHEMAS: Final[Docs] = {
    "Description": obj(
        {
            "created": INTEGER,
            "text": STRING,
            "usage": IMAGES["Images"]["properties"]["usage"],
            "limner": ref("Made"),
        }
    )
}

VARIATIONS: Final[dict[str, Any]] = changes((WORDLESS, ["image"]))
OUTPAINT: Final[dict[str, Any]] = changes(
    *(({**WORDLESS, **dict.fromkeys(SIDES, _ADDED), "feather": _FEATHER}, ["image", side]) for side in SIDES)
)
REGION_EDIT: Final[dict[str, Any]] = changes(({"region": _REGION}, ["image", "prompt", "region"]))
REMOVE_BACKGROUND: Final[dict[str, Any]] = changes((WORDLESS, ["image"]))
UPSCALE: Final[dict[str, Any]] = changes(({**WORDLESS, "scale": _SCALE}, ["image"]))
DESCRIBE: Final[dict[str, Any]] = changes(({**WORDLESS, "question": _QUESTION}, []), answers=("Description",))
