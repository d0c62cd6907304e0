"""Which names mean which models: served ones, stand-ins, and those that are only known."""

import pytest

from limner.catalogue import Catalogue
from limner.core import Operation
from limner.errors import InvalidRequest, ModelNotFound, NotReady
from limner.roster import Roster, ServedModel
from tests.fakes import FakeBackend

CATALOGUE = Catalogue.builtin()
G, E, U = Operation.GENERATE, Operation.EDIT, Operation.UPSCALE


def roster_of(*names: str, stand_ins: tuple[str, ...] = ()) -> Roster:
    """Ready models ``names``, and ``stand_ins`` drawn by the first of them."""
    roster = Roster(CATALOGUE)
    for name in names:
        model = ServedModel(CATALOGUE.get(name), FakeBackend())
        model.loaded()
        roster.add(model)
    for name in stand_ins:
        roster.add(ServedModel(CATALOGUE.get(name), FakeBackend(), stand_in=roster.default))
    return roster


@pytest.mark.parametrize("name", ["sketch", "SKETCH", "limner/sketch", ""])
def test_a_model_is_found_by_id_alias_or_as_the_default(name: str) -> None:
    assert roster_of("sketch", "qwen-image").find(name).spec.id == "sketch"


def test_an_unknown_name_is_refused_naming_some_of_what_is_served() -> None:
    with pytest.raises(ModelNotFound, match=r"model 'moon' is not served here; served: sketch$") as caught:
        roster_of("sketch").find("moon")
    assert (caught.value.status, caught.value.param) == (404, "model")
    everything = tuple(spec.id for spec in CATALOGUE.models() if spec.id != "sketch")
    with pytest.raises(ModelNotFound, match=rf"and {len(everything) + 1 - 12} more \(GET /v1/models lists them\)$"):
        roster_of("sketch", stand_ins=everything).find("moon")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Qwen/Qwen-Image", ["start `limner serve Qwen/Qwen-Image`", "--stand-in sketch"]),
        ("flux_pro", ["start `limner serve black-forest-labs/FLUX.1-dev`", "flux-pro-1.1 of bfl"]),
        ("dall-e-3", ["--stand-in sketch", "this version cannot forward it to dall-e-3 of openai, dalle of routellm"]),
        ("midjourney", ["let a model that is served draw in its place"]),
    ],
)
def test_a_model_that_is_only_known_is_refused_saying_what_to_configure(name: str, words: list[str]) -> None:
    with pytest.raises(ModelNotFound) as caught:
        roster_of("sketch").find(name)
    assert f"model '{name}' is known but not served here: " in caught.value.message
    assert all(word in caught.value.message for word in words)


def test_virtual_names_are_listed_with_what_they_mean_for_plain_words() -> None:
    listed = {
        each.id: model.spec.id for each, model in roster_of("sketch", stand_ins=("flux_pro", "seedream")).virtual()
    }
    assert listed == {"limner/auto": "sketch", "route-llm": "seedream", "protolabs/qwen-image-chat": "sketch"}
    assert list(roster_of("Qwen/Qwen-Image-Edit").virtual()) == []
    assert list(Roster().virtual()) == []


def test_without_a_catalogue_only_served_models_are_known() -> None:
    with pytest.raises(ModelNotFound, match="is not served here"):
        Roster().route("route-llm", G, has_images=False)


def test_a_stand_in_answers_under_the_models_names_and_is_as_well_as_who_draws() -> None:
    roster = roster_of("sketch", stand_ins=("dalle",))
    model = roster.find("DALL-E-3")
    assert model.spec.id == "dalle"
    assert model.stand_in is roster.default
    assert (model.state, model.runs_on) == ("ready", "local")
    roster.default.failed(NotReady("gone"))
    assert (model.state, str(model.error)) == ("failed", "gone")
    with pytest.raises(NotReady, match="'dalle' cannot be used: gone"):
        model.require_ready()
    assert [own.spec.id for own in roster.own] == ["sketch"]
    assert roster.serves("dall-e-3")
    assert not roster.serves("flux_pro")


@pytest.mark.parametrize(
    ("served", "stand_ins", "name", "operation", "has_images", "used"),
    [
        (["sketch"], (), "limner/auto", G, False, "sketch"),
        (["sketch"], (), "LIMNER/Auto", E, True, "sketch"),
        (["sketch", "Qwen/Qwen-Image"], (), "limner/auto", G, False, "Qwen/Qwen-Image"),
        (["sketch", "Qwen/Qwen-Image-2512"], (), "limner/auto", G, False, "Qwen/Qwen-Image-2512"),
        (["sketch", "Qwen/Qwen-Image-Edit-2511"], (), "limner/auto", G, False, "sketch"),
        (["sketch", "Qwen/Qwen-Image-Edit-2511"], (), "limner/auto", E, True, "Qwen/Qwen-Image-Edit-2511"),
        (["sdxl"], (), "route-llm", G, False, "stabilityai/stable-diffusion-xl-base-1.0"),
        (["sketch"], ("flux_pro", "nano_banana"), "route-llm", G, False, "nano_banana"),
        (["sketch"], ("flux_pro", "imagen"), "route-llm", G, False, "sketch"),
        (["sketch"], ("magnific",), "limner/auto", U, True, "magnific"),
        (["sketch"], ("Qwen/Qwen-Image-2512",), "limner/auto", G, False, "sketch"),
    ],
)
def test_a_virtual_name_means_the_first_model_of_its_list_that_is_served_and_able(
    served: list[str], stand_ins: tuple[str, ...], name: str, operation: Operation, has_images: bool, used: str
) -> None:
    roster = roster_of(*served, stand_ins=stand_ins)
    assert roster.route(name, operation, has_images=has_images).spec.id == used


def test_a_virtual_name_prefers_models_that_are_ready() -> None:
    roster = roster_of("sketch")
    roster.add(ServedModel(CATALOGUE.get("Qwen/Qwen-Image"), FakeBackend()))
    assert roster.find("limner/auto").spec.id == "sketch"


def test_a_virtual_name_for_what_nobody_can_do_is_refused() -> None:
    with pytest.raises(ModelNotFound, match="'limner/auto': no model served here can upscale; served: sketch"):
        roster_of("sketch").route("limner/auto", U, has_images=True)


def test_other_names_mean_the_same_whatever_the_operation() -> None:
    assert roster_of("sketch", "sdxl").route("sdxl", E, has_images=True).spec.family == "stable-diffusion"


def test_a_served_models_alias_comes_before_a_stand_ins() -> None:
    roster = roster_of("Qwen/Qwen-Image-2512", stand_ins=("dalle",))
    assert roster.find("protolabs/qwen-image").stand_in is None


D, R, V = Operation.DESCRIBE, Operation.REMOVE_BACKGROUND, Operation.VARY


@pytest.mark.parametrize(
    ("served", "name", "operation", "used"),
    [
        (["sketch", "cutout", "resample"], "", G, "sketch"),
        (["sketch", "cutout", "resample"], "", V, "sketch"),
        (["sketch", "cutout", "resample"], "", R, "cutout"),
        (["sketch", "cutout", "resample"], "", U, "resample"),
        (["sketch", "reader"], "", D, "reader"),
        (["reader", "sketch"], "", E, "sketch"),
        (["sketch", "cutout", "resample"], "limner/auto", R, "cutout"),
        (["sketch", "cutout", "resample"], "limner/auto", U, "resample"),
        (["sketch", "reader"], "route-llm", D, "reader"),
        # a name that asks for an operation means a model that can do it, whatever the route would do
        (["sketch", "cutout", "resample"], "limner/upscale", G, "resample"),
        (["sketch", "cutout", "birefnet-general"], "protolabs/qwen-image-bgremove", E, "birefnet-general"),
        (["sketch", "sdxl", "Qwen/Qwen-Image"], "protolabs/qwen-image-inpaint", E, "Qwen/Qwen-Image"),
        (["Qwen/Qwen-Image-Edit-2511", "sdxl"], "limner/outpaint", G, "stabilityai/stable-diffusion-xl-base-1.0"),
    ],
)
def test_what_is_asked_of_nobody_by_name_is_done_by_a_model_that_can(
    served: list[str], name: str, operation: Operation, used: str
) -> None:
    roster = roster_of(*served)
    assert roster.route(name, operation, has_images=operation is not G).spec.id == used


def test_what_is_asked_of_nobody_and_nobody_can_is_refused() -> None:
    with pytest.raises(ModelNotFound, match=r"^no model served here can describe; served: sketch$"):
        roster_of("sketch").route("", D, has_images=True)
    with pytest.raises(ModelNotFound, match="'limner/upscale': no model served here can upscale"):
        roster_of("sketch").find("limner/upscale")


def test_the_default_stays_the_default_where_no_operation_is_asked_for() -> None:
    assert roster_of("reader", "sketch").find("").spec.id == "reader"


def test_only_names_that_are_no_models_ask_for_an_operation() -> None:
    roster = roster_of("sketch")
    assert roster.operation_of("limner/Outpaint") is Operation.OUTPAINT
    assert roster.operation_of("limner/auto") is roster.operation_of("sketch") is roster.operation_of("") is None


def test_a_model_that_is_asked_for_what_it_cannot_do_names_others() -> None:
    roster = roster_of("sketch", "sdxl", "reader")
    reader = roster.find("reader")
    roster.require_able(reader, D)
    with pytest.raises(
        InvalidRequest, match=r"reader cannot vary\. Allowed: describe; .* can: sketch, stab.*-1.0$"
    ) as caught:
        roster.require_able(reader, V)
    assert caught.value.param == "operation"
    with pytest.raises(InvalidRequest, match=r"no model served here can$"):
        roster.require_able(reader, U)
