"""The pictures of a request by the parameters that bring them: a model's own, such as ``control_image``, or none.

Owns taking them out of a request's fields and putting them in the order of the model's table. Nothing is read yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner.api.chat.messages import url_of
from limner.catalogue.images import arrange, image_params, mask_param
from limner.catalogue.spec import ModelSpec
from limner.chat import Shown
from limner.core import ParamValue

REFERENCES, MASK = "image_prompt", "mask"
Named = tuple[str, str]  # the parameter that an error names, and the source


@dataclass(frozen=True, slots=True)
class Beside:
    """Pictures that stand beside a conversation: by parameter, and the mask."""

    by_param: Mapping[str, tuple[Shown, ...]]
    mask: Named | None = None


def take_pictures(given: dict[str, Any], spec: ModelSpec) -> Beside:
    """Take the pictures out of ``given``: what the model's table calls so, and ``image_prompt``.

    Raises InvalidRequest for what is no picture.
    """
    names = {REFERENCES: None, **{param.name: None for param in image_params(spec)}}
    by_param = {name: _listed(given.pop(name), name) for name in names if name in given}
    own_mask = mask_param(spec)
    mask_name = MASK if own_mask is None else own_mask.name
    mask = given.pop(mask_name, None)
    named = None if mask is None else (mask_name, url_of(mask, mask_name))
    return Beside({name: pictures for name, pictures in by_param.items() if pictures}, named)


def in_order(
    spec: ModelSpec, spoken_of: Sequence[Shown], beside: Mapping[str, tuple[Shown, ...]]
) -> tuple[tuple[Named, ...], Mapping[str, ParamValue]]:
    """All pictures as they are to be read, those of the conversation first among what the model's first parameter
    brings, and what the request's params say of them. Raises as `arrange` does."""
    table = image_params(spec)
    if not table:
        every = _together(spoken_of, [picture for pictures in beside.values() for picture in pictures])
        return tuple((picture.param, picture.source) for picture in every), {}
    first = table[0].name
    given = {**beside, first: _together(spoken_of, beside.get(first, ()))}
    arranged = arrange(spec, {name: pictures for name, pictures in given.items() if pictures})
    return tuple((picture.param, picture.source) for _, picture in arranged.pictures), arranged.params


def _together(spoken_of: Sequence[Shown], beside: Sequence[Shown]) -> tuple[Shown, ...]:
    """Both; a picture that clients send in both places, to be sure, counts once."""
    known = {picture.source for picture in spoken_of}
    return (*spoken_of, *(picture for picture in beside if picture.source not in known))


def _listed(value: object, name: str) -> tuple[Shown, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(Shown(url_of(one, name), "user", name) for one in values)
