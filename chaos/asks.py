"""What clients ask for: a seeded, endless mixture of requests, and all that a client was told about one of them.

Owns bodies, paths and what the client does next; sends nothing.
"""

import base64
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image, ImageDraw

Manner = Literal["job", "async", "sync", "stream"]
Then = Literal["wait", "events", "forget", "cancel", "leave", "again"]
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black")
SHAPES = ("circle", "square", "triangle", "star", "house", "tree", "cat")
SIZES = ("128x128", "128x160", "192x128", "256x256")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``key`` is its Idempotency-Key, ``account`` the name of the API key that it comes with.

    ``manner`` is the way in: /v1/jobs, the images API with ``Prefer: respond-async``, synchronous, or as a stream.
    ``then`` is what the client does about it afterwards, some of it ``after_s`` later: wait for the end, follow the
    events, forget it, cancel it, hang up in the middle, or send the very same request again. ``hooked`` ones want to be
    told of their end by a webhook.
    """

    key: str
    account: str
    manner: Manner
    operation: str
    fields: dict[str, Any] = field(repr=False)
    then: Then = "wait"
    after_s: float = 0.0
    hooked: bool = False

    @property
    def path(self) -> str:
        """Where it is posted."""
        if self.manner == "job":
            return "/v1/jobs"
        return "/v1/images/generations" if self.operation == "generate" else "/v1/images/edits"

    def body(self, hook_url: str) -> dict[str, Any]:
        """The JSON that is posted; ``hook_url`` is where webhooks go."""
        match self.manner:
            case "job":
                hook = {"webhook": hook_url} if self.hooked else {}
                return {"operation": self.operation, **hook, **self.fields}
            case "stream":
                return {**self.fields, "stream": True}
            case _:
                return self.fields

    @property
    def may_be_cancelled(self) -> bool:
        """Whether the client gives the server a reason to cancel it."""
        return self.then in ("cancel", "leave")


@dataclass(slots=True)
class Told:
    """What the servers have said about one ask. ``final`` is the last status that a client saw it end with."""

    ask: Ask
    job_ids: set[str] = field(default_factory=set)
    tries: int = 0
    refused: str | None = None
    final: str | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether a server has named a job for it."""
        return bool(self.job_ids)


def asks(seed: int, accounts: tuple[str, ...]) -> Iterator[Ask]:
    """Endless; the same for the same ``seed``."""
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        manner: Manner = rng.choices(("job", "async", "sync", "stream"), (45, 15, 25, 15))[0]
        operation = rng.choices(("generate", "edit", "inpaint"), (60, 25, 15))[0]
        yield Ask(
            key=f"chaos-{seed}-{number}",
            account=rng.choice(accounts),
            manner=manner,
            operation=operation,
            fields=_fields(rng, operation),
            then=_then(rng, manner),
            after_s=rng.uniform(0.0, 0.6),
            hooked=manner == "job" and rng.random() < 0.4,
        )


def _then(rng: random.Random, manner: Manner) -> Then:
    if manner in ("job", "async"):
        return rng.choices(("wait", "events", "forget", "cancel", "again"), (35, 20, 15, 20, 10))[0]
    return rng.choices(("wait", "leave", "again"), (75, 15, 10))[0]


def _fields(rng: random.Random, operation: str) -> dict[str, Any]:
    """What all ways in have in common. Some name no seed: the job's own must then survive with it."""
    fields: dict[str, Any] = {
        "model": "sketch",
        "prompt": f"a {rng.choice(COLOURS)} {rng.choice(SHAPES)} on a {rng.choice(COLOURS)} background",
        "n": rng.choices((1, 2, 3), (65, 25, 10))[0],
        "num_inference_steps": rng.randint(2, 4),
    }
    if rng.random() < 0.7:
        fields["seed"] = rng.randrange(2**31)
    if operation == "generate":
        fields["size"] = rng.choice(SIZES)
        return fields
    fields["size"] = "128x128"
    fields["image"] = [_data_url(_picture(rng)) for _ in range(1 if operation == "inpaint" else rng.randint(1, 2))]
    if operation == "inpaint":
        fields["mask"] = _data_url(_mask(rng))
    return fields


def _picture(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (128, 128), rng.choice(COLOURS))
    left, top = rng.randrange(64), rng.randrange(64)
    ImageDraw.Draw(picture).ellipse((left, top, left + 50, top + 50), fill=rng.choice(COLOURS))
    return picture


def _mask(rng: random.Random) -> Image.Image:
    """White is repainted."""
    mask = Image.new("L", (128, 128), 0)
    left, top = rng.randrange(64), rng.randrange(64)
    ImageDraw.Draw(mask).rectangle((left, top, left + 60, top + 60), fill=255)
    return mask


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
