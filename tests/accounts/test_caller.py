"""What a caller may do."""

import pytest

from limner.accounts import NOBODY, OPEN, SCOPES, Caller
from limner.errors import Forbidden


def caller(**fields: object) -> Caller:
    return Caller("key_1", "alice", **{"scopes": frozenset(SCOPES), **fields})  # type: ignore[arg-type]


def test_everybody_may_do_everything_on_an_open_server() -> None:
    for scope in SCOPES:
        OPEN.require(scope)
    OPEN.require_model("sketch", backend="fal")
    assert OPEN.sees_all
    assert not OPEN.metered


def test_nobody_may_do_nothing() -> None:
    for scope in SCOPES:
        with pytest.raises(Forbidden):
            NOBODY.require(scope)
    assert not NOBODY.sees_all


def test_a_missing_scope_is_named_with_those_there_are() -> None:
    with pytest.raises(Forbidden, match=r"lacks the scope 'admin'.*generate, read"):
        caller(scopes=frozenset(("read", "generate"))).require("admin")


@pytest.mark.parametrize(
    ("allowed", "may"),
    [
        ((), True),
        (("sketch",), True),
        (("SKETCH",), True),
        (("other", "ske*"), True),
        (("limner/*",), True),  # an alias
        (("LIMNER/Sk?tch",), True),
        (("sket",), False),
        (("Qwen/*", "z-image"), False),
        (("[a-k]*",), False),
    ],
)
def test_models_are_allowed_by_name_alias_or_pattern(allowed: tuple[str, ...], may: bool) -> None:
    asking = caller(models=allowed)
    if may:
        asking.require_model("sketch", ("limner/sketch",), "local")
    else:
        with pytest.raises(Forbidden, match="'sketch'") as caught:
            asking.require_model("sketch", ("limner/sketch",), "local")
        assert ", ".join(allowed) in caught.value.message
        assert caught.value.param == "model"


def test_a_local_key_keeps_off_other_backends() -> None:
    for backend in ("local", "speaker", "cutter", "enlarger"):
        caller(local_only=True).require_model("sketch", backend=backend)
    with pytest.raises(Forbidden, match="runs on 'upstream'"):
        caller(local_only=True).require_model("gpt", backend="upstream")
    with pytest.raises(Forbidden, match="'flux-pro' runs on 'fal'"):
        caller(local_only=True).require_model("flux-pro", backend="fal")
