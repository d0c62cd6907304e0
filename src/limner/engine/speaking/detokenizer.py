"""From tokens, one at a time, to text that can be shown at once.

Owns when a piece is ready: never within a character, and with the spaces that a tokenizer only knows in context.
"""

from collections.abc import Callable, Sequence

_UNFINISHED = "\ufffd"  # what a decoder makes of bytes that are no character yet

Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """One answer's text. The pieces that `take` and `rest` return, put together, are the text."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context = 0  # where the tokens begin that the next piece is decoded with
        self._said = 0  # tokens whose text has been returned

    def take(self, token: int) -> str:
        """The text that is certain now that ``token`` has come; "" while a character is incomplete."""
        self._tokens.append(token)
        return self._piece(complete=False)

    def rest(self) -> str:
        """What is left when no more tokens come; broken characters show as U+FFFD."""
        return self._piece(complete=True)

    def _piece(self, *, complete: bool) -> str:
        # Decoded together with the piece before: many tokenizers write a word's leading space only after a word.
        before = self._decode(self._tokens[self._context : self._said])
        text = self._decode(self._tokens[self._context :])
        if len(text) <= len(before) or (text.endswith(_UNFINISHED) and not complete):
            return ""
        self._context, self._said = self._said, len(self._tokens)
        return text[len(before) :]
