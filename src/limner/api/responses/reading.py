"""The input of a Responses request as a conversation: messages, and pictures made by earlier calls.

Owns the items' shapes and the ids that calls have here. Pure.
"""

import re

from limner.api.chat.messages import read_turn
from limner.catalogue.values import shown
from limner.chat import Conversation, Shown, Turn
from limner.errors import InvalidRequest, MissingParameter

CALL_ID = re.compile(r"ig_([0-9A-Za-z]{1,64}_\d{1,4})", re.ASCII)
# Items by which other tools and models leave their traces in a history; nothing in them is drawn.
TRACES = frozenset(
    {
        "reasoning", "compaction", "function_call", "function_call_output", "custom_tool_call",
        "custom_tool_call_output", "web_search_call", "file_search_call", "computer_call", "computer_call_output",
        "code_interpreter_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
        "apply_patch_call", "apply_patch_call_output", "mcp_call", "mcp_list_tools", "mcp_approval_request",
        "mcp_approval_response",
    }
)  # fmt: skip


def read_input(value: object, earlier: tuple[Turn, ...] = ()) -> Conversation:
    """The conversation that ``input`` says, after the turns of an ``earlier`` response.

    Raises InvalidRequest naming the item at fault, and MissingParameter when there is none.
    """
    if value is None or value in ("", []):
        raise MissingParameter("Missing required parameter: 'input'", param="input")
    if isinstance(value, str):
        items: list[object] = [{"role": "user", "content": value}]
    elif isinstance(value, list):
        items = value
    else:
        raise InvalidRequest(f"'input' must be text or a list of items, not {shown(value)}", param="input")
    turns = (_turn(item, f"input[{index}]") for index, item in enumerate(items))
    return Conversation((*earlier, *turns))


def call_id(picture_id: str) -> str:
    """The id of the call that made a picture."""
    return picture_id.replace("img_", "ig_", 1)


def picture_id(call: str) -> str | None:
    """The id of the picture that a call of that id made; None for one that is not of this server."""
    match = CALL_ID.fullmatch(call)
    return None if match is None else f"img_{match[1]}"


def _turn(item: object, where: str) -> Turn:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    match kind:
        case "message":
            return read_turn(item, where)
        case "image_generation_call" if isinstance(item, dict) and item.get("status") == "failed":
            return Turn("tool", "")
        case "image_generation_call" | "item_reference":
            assert isinstance(item, dict)
            return Turn("assistant", "", (Shown(_made(item, where), "assistant", where),))
        case str() if kind in TRACES:
            return Turn("tool", "")
    allowed = "message, image_generation_call, item_reference"
    raise InvalidRequest(f"Invalid value for '{where}.type': {shown(kind)}. Allowed: {allowed}", param=f"{where}.type")


def _made(item: dict[str, object], where: str) -> str:
    """The source of the picture that an earlier call made: in the item itself, or kept under its id."""
    result, call = item.get("result"), item.get("id")
    if isinstance(result, str) and result:
        return result if result[:5] == "data:" else f"data:image/png;base64,{result}"
    found = picture_id(call) if isinstance(call, str) else None
    if found is None:
        raise InvalidRequest(
            f"Invalid value for '{where}.id': {shown(call)}. Allowed: the id of a call of this server",
            param=f"{where}.id",
        )
    return found
