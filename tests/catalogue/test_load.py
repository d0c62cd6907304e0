from pathlib import Path

import pytest

from limner.catalogue import Catalogue, CatalogueError
from limner.catalogue.load import builtin_files, read_files
from limner.core import Operation
from tests.catalogue.make import ask_with

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
EXAMPLE, HOSTED = (part.split("```")[0] for part in PAGE.read_text(encoding="utf-8").split("```toml\n")[1:])


def test_the_documented_example_loads_beside_the_shipped_files() -> None:
    spec = Catalogue.of_files({"watercolour.toml": EXAMPLE}).get("watercolour")
    assert spec.id == "example/watercolour-xl"
    assert spec.operations == {Operation.GENERATE, Operation.EDIT, Operation.VARY}
    assert spec.params["strength"].default == 0.5
    assert spec.params["num_inference_steps"].maximum == 60
    assert spec.params["num_inference_steps"].minimum == 1  # from the shared table
    assert spec.params["guidance_rescale"].argument == "guidance_rescale"


def test_the_documented_hosted_example_draws_what_its_table_says() -> None:
    spec = Catalogue.of_files({"aquarelle.toml": HOSTED}).get("aquarelle")
    assert spec.loads is None
    assert (spec.max_images, spec.params["style"].choices) == (3, ("wet", "dry"))
    assert list(map(str, spec.sizes.choices)) == ["1024x1024", "2048x2048", "1344x768", "2688x1536"]
    request = ask_with(spec, aspect_ratio="16:9", resolution="2K", num_images=3).request
    assert (str(request.size), request.n) == ("2688x1536", 3)


def test_a_model_may_have_a_price_per_picture() -> None:
    priced = EXAMPLE.replace("max_images = 1", "price_per_image = 0.04")
    assert Catalogue.of_files({"watercolour.toml": priced}).get("watercolour").price_per_image == 0.04
    assert Catalogue.of_files({"watercolour.toml": EXAMPLE}).get("watercolour").price_per_image is None


def test_every_key_is_documented() -> None:
    from limner.catalogue.entries import ModelEntry, ParamEntry, VirtualEntry

    text = PAGE.read_text(encoding="utf-8")
    hidden = {"fallback"}
    for key in (*ParamEntry.model_fields, *ModelEntry.model_fields, *VirtualEntry.model_fields):
        assert key in hidden or key in text, key


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('title = "W', 'titel = "W', r"watercolour.toml: models\[0\].*title"),
        ("multiple = 8", "multipel = 8", r"watercolour.toml: models\[0\].sizes.multiple?"),
        ("maximum = 60", "maximun = 60", r"models\[0\].params.num_inference_steps.maximun: unknown key"),
        ('family = "', 'familie = "', "watercolour.toml: famil"),
        ('family = "', 'colour = 1\nfamily = "', "watercolour.toml: colour: unknown key"),
        ("default = 30", "default = 61", r"params.num_inference_steps: .*61.*integer from 1 to 60"),
        ("default = 30", 'default = "30"', r"params.num_inference_steps: .*'30'"),
        ('type = "number"', 'type = "float"', r"params.guidance_rescale.type"),
        ('type = "number"', 'type = "enum"', r"params.guidance_rescale: Invalid value"),
        ("default = 0.7", 'ignored_when = "moon"', r"ignored_when: 'moon'; allowed: inputs, mask"),
        ("default = 0.7", 'ignored_when = "moon <= 1"', r"ignored_when: the model has no number 'moon'"),
        ("default = 0.7", 'ignored_when = "num_inference_steps < 1"', r"ignored_when: .*; allowed: "),
        ('edit = "Stable', 'paint = "Stable', r"pipelines.paint"),
        ('edit = "StableDiffusionXLImg2ImgPipeline"\n', "", r"pipelines: no class for edit"),
        ('default = "1024x1024"', 'default = "1025x1024"', "the default 1025x1024 breaks the rules"),
        ('default = "1024x1024"', 'default = "big"', "not a size: 'big'"),
        ("min_side_px = 256", "min_side_px = 250", "not multiples of 8"),
        ("max_pixels = 2_097_152", "max_pixels = 1_048_576\nedit_pixels = 2_000_000", "max_pixels 1048576 is less"),
        ("max_images = 1", 'without = ["seeds"]', "the family has no parameter 'seeds'"),
        ('"watercolour"]', '"qwen-image"]', "'qwen-image' belongs to both Qwen/Qwen-Image and example/watercolour-xl"),
        ("max_images = 1", "stands_for_classes = true", "'StableDiffusionXL.*Pipeline' belongs to both"),
        ("max_images = 1", "price_per_image = -0.1", r"price_per_image.*greater than or equal to 0"),
        ("max_images = 1", "price_per_image = inf", r"price_per_image"),
        ("max_images = 1", "text_lengths = [16]", "text_lengths: arguments.max_sequence_length is missing"),
        ("max_images = 1", "text_lengths = [0]", r"text_lengths.0.*greater than or equal to 1"),
        ("max_images = 1", "max_images = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_place_and_key(old: str, new: str, error: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(CatalogueError, match=error):
        Catalogue.of_files({"watercolour.toml": EXAMPLE.replace(old, new)})


def test_text_lengths_are_below_what_is_always_read() -> None:
    long = EXAMPLE.replace("clip_skip = 1", "max_sequence_length = 48")
    kept = Catalogue.of_files({"a.toml": long.replace("max_images = 1", "text_lengths = [32, 16]")})
    assert kept.get("watercolour").routes[0].text_lengths == (16, 32)
    with pytest.raises(CatalogueError, match=r"text_lengths: 48 is not below arguments\.max_sequence_length, 48"):
        Catalogue.of_files({"a.toml": long.replace("max_images = 1", "text_lengths = [16, 48]")})


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"1:1" = "1024x1024"', '"1:1" = "big"', "not a size: 'big'"),
        ('default = "1:1"', 'default = "4:3"', "params.aspect_ratio: .*'4:3'.*Allowed: '1:1' or '16:9'"),
        ('default = "1024x1024"', 'default = "1000x1000"', "sizes: the default 1000x1000 breaks the rules"),
        ('"2K" = 2 }\ncost', '"2K" = 0 }\ncost', r"params.resolution.scales.2K"),
        ('cost_factors = { "2K"', 'cost_factors = { "8K"', "params.resolution: cost_factors: '8K' is not among"),
        ("labels = { wet", "labels = { damp", "params.style: labels: 'damp' is not among its choices"),
        ("prompt = {} ", 'prompt = { excludes = { tags = "(" } } ', "params.prompt: excludes: 'tags' is no regular"),
        ("num_images = {}", 'num_images = { field = "count" }', r"params.num_images.field"),
        ('source = "Qwen/Qwen-Image"', 'source = "qwen-image"', "aquarelle names 'qwen-image', which is no model's id"),
        ('operations = ["generate", "edit"]', "operations = []", "no class for any operation"),
        ('family = "aq', 'virtual = [{ id = "sdxl", title = "x" }]\nfamily = "aq', "'sdxl' is a model's"),
        (
            'family = "aq',
            'virtual = [{ id = "x", title = "x", prefer = ["y"] }]\nfamily = "aq',
            "x names 'y', which is no model's id",
        ),
    ],
)
def test_a_wrong_hosted_model_is_refused_naming_what_is_wrong(old: str, new: str, error: str) -> None:
    assert old in HOSTED
    with pytest.raises(CatalogueError, match=error):
        Catalogue.of_files({"aquarelle.toml": HOSTED.replace(old, new)})


def test_there_is_exactly_one_fallback() -> None:
    files = builtin_files()
    with pytest.raises(CatalogueError, match="not 0"):
        Catalogue(read_files({name: text for name, text in files.items() if name != "fallback.toml"}))
    with pytest.raises(CatalogueError, match="not 2"):
        Catalogue.of_files({"again.toml": files["fallback.toml"]})
