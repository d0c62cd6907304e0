"""The bare diffusers pipeline of the embedded model: what limner is held against, so none of limner's engine."""

from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from benchmarks.drawings import WEIGHTS, Drawing, pipeline_arguments, text_lengths


class Pipeline:
    """One loaded pipeline in float32, as limner's engine also runs it on a CPU."""

    def __init__(self, threads: int, *, fits_text: bool = False) -> None:
        """``threads`` 0 keeps torch's own choice, which is one per core.

        With ``fits_text`` it reads as few tokens of text as limner does, else always as many as the model's page says.
        """
        if threads:
            torch.set_num_threads(threads)
        self._pipe: Any = DiffusionPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
        self._pipe.set_progress_bar_config(disable=True)
        self._arguments = pipeline_arguments()
        self._fits_text = fits_text

    def draw(self, drawing: Drawing) -> Image.Image:
        """Call the pipeline."""
        images: list[Image.Image] = self._pipe(
            prompt=drawing.prompt,
            width=drawing.width_px,
            height=drawing.height_px,
            num_inference_steps=drawing.num_inference_steps,
            guidance_scale=drawing.guidance_scale,
            generator=torch.Generator().manual_seed(drawing.seed),
            **self._arguments | self._text_length(drawing.prompt),
        ).images
        return images[0]

    def _text_length(self, prompt: str) -> dict[str, int]:
        if not self._fits_text:
            return {}
        messages = [{"role": "user", "content": prompt}]
        count = len(self._pipe.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])
        return next(({"max_sequence_length": n} for n in text_lengths() if count <= n), {})
