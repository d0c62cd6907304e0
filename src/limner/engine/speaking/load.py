"""Getting a model that answers in words into memory, with whatever prepares its input.

Owns the classes of transformers that each kind is read with; what a source is before loading is `probe`'s business.
"""

from typing import Any, Protocol

import transformers
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from limner.engine.devices import Device
from limner.engine.load import explain
from limner.engine.probe import Probe, probe, weights_revision
from limner.engine.sample import LoadedModel, ModelSource
from limner.engine.speaking.captioner import Captioner
from limner.engine.speaking.kind import Kind, kind_of
from limner.engine.speaking.prompts import source_of
from limner.engine.speaking.question import Question
from limner.engine.speaking.reply import Reply
from limner.engine.speaking.talker import Talker
from limner.errors import InvalidRequest, LimnerError

VIDEO = "video"  # in the name of the part of a processor that nobody here needs, and that needs torchvision
PILLOW = "pil"  # the backend of image processors that is always there


class Voice(Protocol):
    """A loaded model that answers questions."""

    def check(self, question: Question) -> None:
        """Raise InvalidRequest for a question that it can never answer."""
        ...

    def answer(self, replies: list[Reply]) -> None:
        """Answer all of them; each ends on its own. Raises what the model raises."""
        ...


def load_voice(source: ModelSource, device: Device) -> tuple[Voice, LoadedModel]:
    """A voice on ``device`` and what identifies its weights. Blocks; may download.

    Raises InvalidRequest for a source that is no such model, NotReady where a hub cannot be reached.
    """
    found = probe(source)
    kind = kind_of(found.pipeline, source.source)
    transformers.utils.logging.disable_progress_bar()
    try:
        voice, model = _read(kind, _where(source, found), source.revision, device)
    except LimnerError:
        raise
    except Exception as error:
        raise explain(source, error) from error
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    revision = _revision(found, model)
    return voice, LoadedModel(source.id, type(model).__name__, revision, size, found.path)


def _where(source: ModelSource, found: Probe) -> str:
    return source.source if found.path is None else str(found.path)


def _revision(found: Probe, model: Any) -> str:
    if found.path is not None:
        return weights_revision(found.path)
    return str(getattr(model.config, "_commit_hash", None) or "")[:12]


def _read(kind: Kind, where: str, revision: str | None, device: Device) -> tuple[Voice, Any]:
    pinned = {"revision": revision} if revision else {}
    match kind:
        case Kind.CAPTIONS:
            from limner.engine.speaking.answers import answer

            model = _model(transformers.VisionEncoderDecoderModel, where, pinned, device)
            looking = transformers.AutoImageProcessor.from_pretrained(where, backend=PILLOW, **pinned)
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **pinned)
            return Captioner(model, looking, tokenizer, device, answer), model
        case Kind.SEES:
            config = transformers.AutoConfig.from_pretrained(where, **pinned)
            processor = _processor(where, config, pinned)
            template = source_of(processor) or source_of(processor.tokenizer)
            _need_template(template, where)
            model = _model(transformers.AutoModelForImageTextToText, where, pinned, device)
            return Talker(model, processor.tokenizer, processor, str(template), device), model
        case Kind.WRITES:
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **pinned)
            template = source_of(tokenizer, with_tools=True)
            _need_template(template, where)
            model = _model(transformers.AutoModelForCausalLM, where, pinned, device)
            return Talker(model, tokenizer, None, str(template), device), model


def _model(cls: Any, where: str, pinned: dict[str, str], device: Device) -> Any:
    model = cls.from_pretrained(where, dtype=device.dtype, **pinned)
    return model.to(device.name).eval().requires_grad_(False)


def _need_template(template: str | None, where: str) -> None:
    if template is None:
        raise InvalidRequest(f"{where} has no chat template, so it holds no conversation", param="model")


def _processor(where: str, config: Any, pinned: dict[str, str]) -> Any:
    """The model's own processor; where only its part for videos cannot be had, the same without that part."""
    try:
        return transformers.AutoProcessor.from_pretrained(where, **pinned)
    except (ImportError, ValueError) as error:  # both say that torchvision is missing, depending on the model
        cls = PROCESSOR_MAPPING.get(type(config), None)
        if "torchvision" not in str(error).casefold() or cls is None:
            raise
        return _without_videos(cls).from_pretrained(where, **pinned)


def _without_videos(cls: Any) -> Any:
    """A processor class like ``cls`` whose part for videos is None."""
    everything: list[str] = cls.get_attributes()

    def attributes(_: Any) -> list[str]:
        return [name for name in everything if VIDEO not in name]

    def arguments(own: Any, *args: Any, **options: Any) -> list[Any]:
        read = iter(cls._get_arguments_from_pretrained.__func__(own, *args, **options))
        return [None if VIDEO in name else next(read) for name in everything]

    overridden = {
        "get_attributes": classmethod(attributes),
        "_get_arguments_from_pretrained": classmethod(arguments),
    }
    return type(cls.__name__, (cls,), overridden)
