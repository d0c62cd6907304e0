"""A chat model answering a batch of questions: prompts in, tokens out, one row each.

Owns the way through generate; who is in a batch and what happens to failures is the speaker's business.
"""

from collections.abc import Sequence
from time import monotonic
from typing import Any

import torch

from limner.engine.devices import Device
from limner.engine.speaking.prompts import Template
from limner.engine.speaking.question import Question
from limner.engine.speaking.reply import Reply
from limner.engine.speaking.sampling import Chooser
from limner.errors import InvalidRequest

Features = dict[str, Any]  # a processor's output by name: foreign values, handed on to the model


class Talker:
    """A model that holds conversations. ``processor`` is None for one that reads words alone."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any | None, template: str, device: Device) -> None:
        self._model, self._tokenizer, self._processor, self._device = model, tokenizer, processor, device
        self._template = Template(tokenizer, template, in_parts=processor is not None)
        self._stops = _stops(model, tokenizer)
        _make_greedy(model, tokenizer, self._stops)
        self._context = _context(model.config)

    def check(self, question: Question) -> None:
        """Raise InvalidRequest for a question that this model can never answer."""
        if question.pictures and self._processor is None:
            raise InvalidRequest("this model reads words only and takes no pictures", param="image")

    def answer(self, replies: Sequence[Reply]) -> None:
        """Answer all of ``replies``; each ends on its own. Raises what the model raises."""
        features, lengths = self._prepared([reply.question for reply in replies])
        within = [reply for reply, length in zip(replies, lengths, strict=True) if self._fits(reply, length)]
        if len(within) < len(replies):
            if within:
                self.answer(within)
            return
        if cramped := self._cramped(replies, lengths):
            self.answer(cramped)
            self.answer([reply for reply in replies if reply not in cramped])
            return
        for reply, length in zip(replies, lengths, strict=True):
            reply.listen(self._decoder(reply.question), self._stops, length)
        self._generate(features, replies)

    def _cramped(self, replies: Sequence[Reply], lengths: Sequence[int]) -> list[Reply]:
        """Those to whom the longest question of a batch, as long as which all are made, leaves less room than they want
        and have without it."""
        room = self._context - max(lengths)
        own = ((reply, self._context - length) for reply, length in zip(replies, lengths, strict=True))
        return [reply for reply, alone in own if room < min(alone, reply.question.manner.max_tokens)]

    def _generate(self, features: Features, replies: Sequence[Reply]) -> None:
        room = self._context - features["input_ids"].shape[1]
        wanted = max(reply.question.manner.max_tokens for reply in replies)
        chooser = Chooser([reply.question.manner for reply in replies], self._model.device)
        listening = Listening(replies, self._stops, self._device)
        self._model.generate(
            **features,
            max_new_tokens=max(1, min(wanted, room)),
            logits_processor=[chooser],
            stopping_criteria=[listening],
        )
        for reply in replies:
            reply.close()

    def _prepared(self, questions: Sequence[Question]) -> tuple[Features, list[int]]:
        """What the model reads, padded on the left, and each row's own length in tokens."""
        texts = [self._template.render(question) for question in questions]
        options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        options["add_special_tokens"] = self._processor is not None and not self._begins(texts[0])
        if self._processor is None:
            read = self._tokenizer(texts, **options)
        elif questions[0].pictures:
            read = self._processor(text=texts, images=[list(question.pictures) for question in questions], **options)
        else:
            read = self._processor(text=texts, **options)
        lengths = [int(length) for length in read["attention_mask"].sum(1)]
        return {name: self._placed(value) for name, value in read.items()}, lengths

    def _begins(self, text: str) -> bool:
        """Whether the template wrote the token that begins a text, where there is one, so that nobody adds another."""
        bos = self._tokenizer.bos_token
        return bos is None or text.startswith(bos)

    def _placed(self, value: Any) -> Any:
        """A tensor on the device, numbers with a fraction in the model's type."""
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self._device.name, self._model.dtype if value.is_floating_point() else None)

    def _fits(self, reply: Reply, length: int) -> bool:
        if length < self._context:
            return True
        message = f"the question takes {length} tokens with its pictures and what was said before. Allowed for this "
        reply.fail(InvalidRequest(f"{message}model: less than {self._context}", param="messages"))
        return False

    def _decoder(self, question: Question) -> "Decoder":
        return Decoder(self._tokenizer, verbatim=question.verbatim)


class Decoder:
    """Tokens to text as a tokenizer has it, without the markers unless they are asked for."""

    def __init__(self, tokenizer: Any, *, verbatim: bool) -> None:
        self._tokenizer, self._verbatim = tokenizer, verbatim

    def __call__(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=not self._verbatim, clean_up_tokenization_spaces=False
            )
        )


class Listening:
    """A stopping criterion that hands every new token to its row's reply, and stops rows whose reply has ended."""

    def __init__(self, replies: Sequence[Reply], stops: frozenset[int], device: Device) -> None:
        self.eos_token_id = sorted(stops)  # generate pads ended rows if a criterion has this attribute
        self._replies, self._device = replies, device
        self._since, self._is_first = monotonic(), True

    def __call__(self, input_ids: torch.Tensor, scores: object) -> torch.Tensor:
        """Which rows have ended  # (B,), bool"""
        tokens = input_ids[:, -1].tolist()
        self._share_time()
        for reply, token in zip(self._replies, tokens, strict=True):
            if not reply.ended:
                reply.take(token)
        return torch.tensor([reply.ended for reply in self._replies], device=input_ids.device)

    def _share_time(self) -> None:
        """The step's time, evenly to those who still wanted it; the first step is the reading."""
        now = monotonic()
        living = [reply for reply in self._replies if not reply.ended]
        share_s = (now - self._since) / max(1, len(living))
        for reply in living:
            reply.spent(encode_s=share_s if self._is_first else 0.0, decode_s=0.0 if self._is_first else share_s)
        self._since, self._is_first = now, False


def _stops(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn, as the checkpoint's generation settings and its tokenizer have them."""
    eos = model.generation_config.eos_token_id
    named = eos if isinstance(eos, list) else [eos]
    return frozenset(token for token in (*named, tokenizer.eos_token_id) if token is not None)


def _make_greedy(model: Any, tokenizer: Any, stops: frozenset[int]) -> None:
    """Take the checkpoint's own habits of sampling away: each question brings its manner. Penalties stay."""
    settings = model.generation_config
    settings.do_sample, settings.num_beams = False, 1
    for name in ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "max_length"):
        setattr(settings, name, None)
    if settings.pad_token_id is None:
        pad = tokenizer.pad_token_id
        settings.pad_token_id = pad if pad is not None else min(stops, default=0)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = settings.pad_token_id


def _context(config: Any) -> int:
    """How many tokens the model reads and writes in all."""
    words = config.get_text_config(decoder=True)
    return int(getattr(words, "max_position_embeddings", None) or UNKNOWN_CONTEXT)


UNKNOWN_CONTEXT = 32_768  # of models that do not tell theirs, such as those without positions
