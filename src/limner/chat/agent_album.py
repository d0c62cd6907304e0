"""The pictures of a conversation by number, which is all that a language model sees of them.

Owns the numbers: those of the conversation as they were shown, each source once and without masks, then what the agent
makes.
"""

import re
from collections.abc import Sequence

from limner.chat.conversation import Conversation, Role, Shown, without_repeats
from limner.chat.scene import is_mask
from limner.errors import InvalidRequest

_PLACEHOLDER = re.compile(r"\[image (\d{1,4})\]", re.IGNORECASE)
_BY: dict[Role, str] = {
    "system": "the system",
    "user": "the user",
    "assistant": "you",
    "tool": "a tool",
}


class Album:
    """Starts with the pictures of ``conversation``; number 1 is the first. ``mask`` came with the user's last turn."""

    def __init__(self, conversation: Conversation) -> None:
        pictures = tuple(picture for picture in conversation.pictures if not is_mask(picture))
        self.mask = next((picture for picture in conversation.asked.pictures if is_mask(picture)), None)
        self._shown = list(without_repeats(pictures))
        self._numbers = {picture.source: number for number, picture in enumerate(self._shown, 1)}

    def __len__(self) -> int:
        return len(self._shown)

    def add(self, file_ids: Sequence[str]) -> str:
        """Number pictures that were made; returns their placeholders."""
        for file_id in file_ids:
            self._shown.append(Shown(file_id, "assistant", "messages"))
            self._numbers[file_id] = len(self._shown)
        return ", ".join(f"[image {self._numbers[file_id]}]" for file_id in file_ids)

    def picture(self, number: int, field: str) -> Shown:
        """The picture of that number. Raises InvalidRequest naming ``field`` and the numbers there are."""
        if 1 <= number <= len(self._shown):
            return self._shown[number - 1]
        raise InvalidRequest(
            f"Invalid value for {field!r}: there is no [image {number}]. Allowed: {self.numbers}. The result of a call "
            "has its number only once the call has been answered.",
            param=field,
        )

    @property
    def numbers(self) -> str:
        """The numbers there are, in words."""
        match len(self._shown):
            case 0:
                return "none, since there is no image yet: make one first"
            case 1:
                return "1"
            case many:
                return f"1 to {many}"

    def placeholder(self, picture: Shown) -> str:
        """The picture as words: its number, and who showed it."""
        if is_mask(picture):
            return "[a mask]"
        return f"[image {self._numbers[picture.source]}, shown by {_BY[picture.role]}]"

    def named_in(self, text: str) -> set[str]:
        """The sources of the pictures that ``text`` names."""
        numbers = {int(number) for number in _PLACEHOLDER.findall(text)}
        return {self._shown[n - 1].source for n in numbers if 1 <= n <= len(self._shown)}

    def missing_in(self, text: str) -> str | None:
        """A placeholder in ``text`` that no picture has."""
        missing = (match for match in _PLACEHOLDER.finditer(text) if not 1 <= int(match[1]) <= len(self._shown))
        return next((match[0] for match in missing), None)


def without_brackets(text: str) -> str:
    """``text`` as the user reads it: "image 2", not a placeholder."""
    return _PLACEHOLDER.sub(r"image \1", text)
