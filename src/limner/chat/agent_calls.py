"""The calls of a language model: judged, run several at once, and answered in words that the model can act on.

Owns what was made, what failed, and when it is no use to go on. Whether a call may be made at all is `agent_tools`'s.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limner.chat.agent_album import Album
from limner.chat.agent_tools import Toolbox
from limner.chat.decision import Decision
from limner.chat.language import Message, ToolCall
from limner.chat.steps import Made
from limner.core import Operation
from limner.errors import (
    ClientLeft,
    DeadlineExceeded,
    Forbidden,
    InsufficientCredits,
    InvalidRequest,
    LimnerError,
    NotReady,
    Overloaded,
    Unauthorized,
)

Run: TypeAlias = Callable[[Decision], Awaitable[Made]]

# What no other call can make good: it is about who asks, or about the server.
FINAL = (ClientLeft, Forbidden, InsufficientCredits, NotReady, Overloaded, Unauthorized)
NO_MORE_CALLS = "No more calls can be made. Answer the user in words now."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why it is no use to go on, and whose fault that is: the model's, a call's, or nobody's who is asked here."""

    blame: Literal["model", "call", "nobody"]
    error: LimnerError


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call, and what it asks for or why it is not done."""

    call: ToolCall
    wanted: Decision | LimnerError


class Calls:
    """All calls of one agent. ``timeout_s`` is for one; all end at ``ends_at`` on the loop's clock."""

    def __init__(self, toolbox: Toolbox, album: Album, run: Run, *, timeout_s: float, ends_at: float) -> None:
        self.made: list[Made] = []
        self.trouble: Trouble | None = None
        self._toolbox = toolbox
        self._album = album
        self._run = run
        self._timeout_s = timeout_s
        self._ends_at = ends_at
        self._used: set[str] = set()
        self._failed: dict[str, LimnerError] = {}
        self._misread: set[str] = set()

    @property
    def last_failure(self) -> LimnerError | None:
        """How the call ended that was run last of those that failed."""
        return next(reversed(self._failed.values()), None)

    def judge(self, calls: Sequence[ToolCall], most: int) -> list[Attempt]:
        """What the calls of one turn ask for, ``most`` of them. One that failed before is trouble: it would again."""
        attempts = [self._judged(call) for call in calls[:most]]
        too_many = InvalidRequest(f"Not done: at most {most} calls can be made at a time. Call again if needed.")
        return [*attempts, *(Attempt(call, too_many) for call in calls[most:])]

    async def run_all(self, attempts: Sequence[Attempt]) -> list[Made | LimnerError]:
        """What came of each, in their order; those that can be done are run at once."""
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(self._outcome(attempt.wanted)) for attempt in attempts]
        return [task.result() for task in running]

    def answered(self, attempts: Sequence[Attempt], outcomes: Sequence[Made | LimnerError]) -> Iterator[Message]:
        """Remember what came of the calls; yields it as the model is told."""
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            if isinstance(outcome, Made):
                content = self._kept(attempt.wanted, outcome)
            else:
                content = f"Error: {outcome.message}"
                self._remember(attempt, outcome)
            call = attempt.call
            yield {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content}

    async def run_one(self, decision: Decision, timeout_s: float) -> Made:
        """What comes of one decision. Raises its LimnerError, and DeadlineExceeded."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._run(decision)
        except TimeoutError as error:
            raise DeadlineExceeded(f"it took longer than {timeout_s:.3g} s and was stopped") from error

    def keep(self, made: Made, inputs: Sequence[str] = ()) -> str:
        """Count ``made``, of which ``inputs`` were the pictures, among what there is; returns its placeholders."""
        self.made.append(made)
        self._used.update(inputs)
        return self._album.add(made.pictures)

    def to_show(self, words: str) -> tuple[str, ...]:
        """The ids of the pictures that were used for no other, or that ``words`` name."""
        named = self._album.named_in(words)
        ids = (file_id for made in self.made for file_id in made.pictures)
        return tuple(file_id for file_id in ids if file_id in named or file_id not in self._used)

    def _judged(self, call: ToolCall) -> Attempt:
        key, wanted = _key(call), self._wanted(call)
        if key in self._failed:
            wanted = self._failed[key]
            self.trouble = Trouble("call", wanted)
        elif key in self._misread and isinstance(wanted, LimnerError):
            self.trouble = Trouble("model", wanted)
        return Attempt(call, wanted)

    def _wanted(self, call: ToolCall) -> Decision | LimnerError:
        try:
            return self._toolbox.decide(call)
        except InvalidRequest as error:
            return error

    async def _outcome(self, wanted: Decision | LimnerError) -> Made | LimnerError:
        if isinstance(wanted, LimnerError):
            return wanted
        clock = asyncio.get_running_loop().time
        try:
            return await self.run_one(wanted, min(self._timeout_s, max(self._ends_at - clock(), 0.0)))
        except LimnerError as error:
            if isinstance(error, FINAL) or clock() >= self._ends_at:
                self.trouble = Trouble("nobody", error)
            return error

    def _kept(self, wanted: Decision | LimnerError, made: Made) -> str:
        assert isinstance(wanted, Decision), "only what was wanted is made"
        looked_at_only = wanted.operation is Operation.DESCRIBE
        placeholders = self.keep(made, () if looked_at_only else [picture.source for picture in wanted.pictures])
        notes = (f"Note: {warning.message}" for warning in made.warnings)
        return "\n".join(filter(None, [placeholders and f"Done: {placeholders}", made.text, *notes])) or "Done."

    def _remember(self, attempt: Attempt, error: LimnerError) -> None:
        key = _key(attempt.call)
        if isinstance(attempt.wanted, Decision):
            self._failed[key] = error
        else:
            self._misread.add(key)


def _key(call: ToolCall) -> str:
    return json.dumps([call.name, call.problem, call.arguments], sort_keys=True)
