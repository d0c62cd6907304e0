"""The operations as tools of a language model: their schemas, and a call of one as a Decision.

Owns the table of tools, and which of them are offered. One row says what a model is told of an argument and what is
taken, so the two cannot differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from limner.chat.agent_album import Album
from limner.chat.agent_arguments import MAX_COUNT, MAX_PIXELS, Argument, property_schema, shown, with_argument
from limner.chat.decision import Abilities, Decision
from limner.chat.language import ToolCall, ToolSchema
from limner.core import Operation
from limner.errors import InvalidRequest, MissingParameter, UnknownParameter


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool and the operation it stands for. Of the arguments in ``any_of`` one at least must be given."""

    name: str
    operation: Operation
    description: str
    arguments: tuple[Argument, ...]
    any_of: tuple[str, ...] = ()


_IMAGE = Argument("image", "image", "Number of the image, such as 2 for [image 2].")
_COUNT = Argument("count", "count", f"How many pictures, 1 to {MAX_COUNT}; 1 unless the user wants several.", False)
_SIZE = Argument("size", "size", "WIDTHxHEIGHT in pixels, only if the user names pixels.", False)
_RATIO = Argument(
    "aspect_ratio",
    "ratio",
    "Width to height, only if the user wants a certain shape: 3:2 is landscape, 2:3 portrait, 21:9 a panorama.",
    False,
    choices=("1:1", "3:2", "2:3", "4:3", "3:4", "4:5", "16:9", "9:16", "21:9"),
)
_SIDES = ("left", "right", "top", "bottom")

TOOLS = (
    Tool(
        "generate_image",
        Operation.GENERATE,
        "Draw a new picture from words alone. It knows nothing of earlier images or of the conversation.",
        (Argument("prompt", "prompt", "All that is to be seen, in full."), _RATIO, _SIZE, _COUNT),
    ),
    Tool(
        "edit_image",
        Operation.EDIT,
        "Change an image as a whole or in part and keep everything else, such as its colours, objects or style.",
        (_IMAGE, Argument("instruction", "prompt", "What to change, such as 'make the hat blue'.")),
    ),
    Tool(
        "region_edit",
        Operation.REGION_EDIT,
        "Repaint only one thing in an image, found by words, and leave every other pixel as it is.",
        (
            _IMAGE,
            Argument("region", "words", "The thing to repaint, such as 'the tie' or 'the background'."),
            Argument("instruction", "prompt", "What it shall become, such as 'a red tie' or 'a sunset over the sea'."),
        ),
    ),
    Tool(
        "inpaint",
        Operation.INPAINT,
        "Repaint the part of an image that the user has marked with a mask.",
        (
            _IMAGE,
            Argument("prompt", "prompt", "What the marked part shall show."),
            Argument("mask", "mask", "Number of the image that is the mask, if the user shows it as one.", False),
        ),
    ),
    Tool(
        "remove_background",
        Operation.REMOVE_BACKGROUND,
        "Cut out the subject of an image: everything else becomes transparent.",
        (_IMAGE,),
    ),
    Tool(
        "compose_images",
        Operation.EDIT,
        "Make one picture out of several images, such as putting the person of one into the scene of another.",
        (
            Argument("images", "images", "Numbers of the images, the one that is changed first.", at_least=2),
            Argument("instruction", "prompt", "What to make of them; call them image 1, image 2, ... in this order."),
        ),
    ),
    Tool(
        "outpaint",
        Operation.OUTPAINT,
        "Make an image's canvas larger and paint what lies beyond its edges.",
        (
            _IMAGE,
            *(Argument(side, "pixels", f"Pixels to add at the {side}, 0 to {MAX_PIXELS}.", False) for side in _SIDES),
            Argument("prompt", "prompt", "What is to be seen there, if the user says so.", False),
        ),
        any_of=_SIDES,
    ),
    Tool(
        "upscale",
        Operation.UPSCALE,
        "Enlarge an image in finer resolution without changing what it shows.",
        (_IMAGE, Argument("scale", "choice", "How many times as wide and high.", choices=("2", "4", "8"))),
    ),
    Tool(
        "vary_image",
        Operation.VARY,
        "Make variations of an image: alike, but not the same.",
        (_IMAGE, _COUNT),
    ),
    Tool(
        "describe_image",
        Operation.DESCRIBE,
        "Look at images, which you cannot do yourself, and answer a question about what they show.",
        (
            Argument("images", "images", "Numbers of the images to look at."),
            Argument("question", "prompt", "What you want to know, such as 'What is in this image?'."),
        ),
    ),
)


class Toolbox:
    """The tools that ``abilities`` allow, on the pictures of ``album``; ``inpaint`` only where one may be a mask."""

    def __init__(self, abilities: Abilities, album: Album) -> None:
        self._abilities = abilities
        self._album = album
        masked = album.mask is not None or len(album) > 1
        self._tools = {
            tool.name: tool
            for tool in TOOLS
            if _possible(tool, abilities) and (masked or tool.operation is not Operation.INPAINT)
        }

    def schemas(self) -> tuple[ToolSchema, ...]:
        """The tools as a language model is told of them."""
        return tuple(_schema(tool) for tool in self._tools.values())

    def decide(self, call: ToolCall) -> Decision:
        """What ``call`` asks for. Raises InvalidRequest saying what is allowed."""
        if call.problem is not None:
            raise InvalidRequest(f"This call cannot be read: {call.problem}")
        tool = self._tools.get(call.name)
        if tool is None:
            allowed = ", ".join(self._tools) or "none"
            raise InvalidRequest(f"There is no tool {shown(call.name)}. Allowed: {allowed}")
        decision = _decision(tool, call.arguments, self._album)
        most = self._abilities.most(tool.operation)
        if len(decision.pictures) > most:
            raise InvalidRequest(
                f"{tool.name} takes at most {most} images, not {len(decision.pictures)}", param="images"
            )
        return self._masked(decision) if tool.operation is Operation.INPAINT else decision

    def _masked(self, decision: Decision) -> Decision:
        mask = decision.mask or self._album.mask
        if mask is None:
            raise MissingParameter("inpaint needs 'mask': the user has marked nothing in another way", param="mask")
        return replace(decision, mask=mask)


def _possible(tool: Tool, abilities: Abilities) -> bool:
    needed = max((arg.at_least for arg in tool.arguments if arg.kind in ("image", "images")), default=0)
    return tool.operation in abilities.operations and needed <= abilities.most(tool.operation)


def _schema(tool: Tool) -> ToolSchema:
    parameters = {
        "type": "object",
        "properties": {argument.name: property_schema(argument) for argument in tool.arguments},
        "required": [argument.name for argument in tool.arguments if argument.required],
    }
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _decision(tool: Tool, given: Mapping[str, Any], album: Album) -> Decision:
    _refuse_unknown(tool, given)
    decision = Decision(tool.operation, "", reason=f"the language model called {tool.name}")
    for argument in tool.arguments:
        value = given.get(argument.name)
        if value is not None and value != "" and value != []:
            decision = with_argument(decision, argument, value, album)
        elif argument.required:
            raise MissingParameter(f"{tool.name} needs {argument.name!r}: {argument.description}", param=argument.name)
    if tool.any_of and not any(decision.params.get(name) for name in tool.any_of):
        raise MissingParameter(f"{tool.name} needs one of {', '.join(tool.any_of)} above 0", param=tool.any_of[0])
    return decision


def _refuse_unknown(tool: Tool, given: Mapping[str, Any]) -> None:
    known = [argument.name for argument in tool.arguments]
    for name in given:
        if name not in known:
            raise UnknownParameter(f"{tool.name} has no argument {shown(name)}. Allowed: {', '.join(known)}")
