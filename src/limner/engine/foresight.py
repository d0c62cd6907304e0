"""Foreseeing the calls that a pipeline is about to make, so that they run in the same forward.

Guidance asks a denoiser twice a step, on the same latents: with the prompt and without. Once a pipeline has done so,
the second call of each later step is known when the first arrives: all that differs is what differed before. A call
counts as foreseen only if every argument is equal to what was guessed, and a pipeline that asks for something else is
believed: nothing more is foreseen for it. Owns one sample's memory of one denoiser; runs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from limner.engine.collate import Arguments

_MOST = 3  # later calls of one step that are worth remembering


@dataclass(slots=True, eq=False)
class Guess:
    """A call that is expected. ``output`` is set once a forward has answered it, ``failed`` if one could not."""

    arguments: Arguments
    differs: Arguments
    output: Any = None
    failed: bool = False


class Foresight:
    """What one sample asks of one denoiser, step after step. ``batch`` names the argument that holds the latents."""

    def __init__(self, batch: str) -> None:
        self._batch = batch
        self._first: Arguments = {}
        self._learnt: list[Arguments] = []  # how this step's later calls differ from its first
        self._guesses: list[Guess] = []
        self._gave_up = False

    def answer(self, arguments: Arguments) -> Guess | None:
        """The answered guess that is this very call; it is used up."""
        for guess in self._guesses:
            if guess.output is not None and _same(guess.arguments, arguments):
                self._guesses.remove(guess)
                self._learnt.append(guess.differs)
                return guess
        return None

    def next(self, arguments: Arguments, merges: Callable[[Arguments], bool]) -> tuple[Guess, ...]:
        """Learn from a call that was not answered, and guess which calls will follow it with equal shapes.

        ``merges`` tells whether a guessed call can run together with this one."""
        if self._gave_up:
            return ()
        if self._first and _same(self._first.get(self._batch), arguments.get(self._batch)):
            self._learn(arguments)
            return ()
        self._gave_up = any(guess.failed or guess.output is not None for guess in self._guesses)
        learnt, self._first, self._learnt = self._learnt, _copy(arguments), []
        guesses = [] if self._gave_up else [Guess({**self._first, **differs}, differs) for differs in learnt]
        self._guesses = [guess for guess in guesses if merges(guess.arguments)]
        return tuple(self._guesses)

    def _learn(self, arguments: Arguments) -> None:
        first = self._first
        self._guesses = [guess for guess in self._guesses if guess.failed or not _same(guess.arguments, arguments)]
        if first.keys() == arguments.keys() and len(self._learnt) < _MOST:
            differs = {name: value for name, value in arguments.items() if not _same(value, first[name])}
            if all(_alike(value, first[name]) for name, value in differs.items()):
                self._learnt.append(_copy(differs))


def _copy(value: Any) -> Any:
    """A copy of containers, which pipelines may change between two calls; tensors and the rest are themselves."""
    match value:
        case dict():
            return {key: _copy(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(map(_copy, value))
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two arguments are equal by value; foreign objects may have a state, so they never are."""
    match one, other:
        case None, None:
            return True
        case torch.Tensor(), torch.Tensor():
            return one is other or (_alike(one, other) and torch.equal(one, other))
        case (list(), list()) | (tuple(), tuple()):
            return len(one) == len(other) and all(map(_same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
        case (bool() | int() | float() | str(), bool() | int() | float() | str()):
            return type(one) is type(other) and one == other
    return False


def _alike(one: Any, other: Any) -> bool:
    """Whether two arguments have the same shape and kind, so that neither needs padding beside the other."""
    match one, other:
        case torch.Tensor(), torch.Tensor():
            return one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
        case (list(), list()) | (tuple(), tuple()):
            return len(one) == len(other) and all(map(_alike, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return False
