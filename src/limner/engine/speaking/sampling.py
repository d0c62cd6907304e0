"""Choosing each row's next token in its own manner, whatever its neighbours in the batch do.

Owns temperature, nucleus and seeds; the loop around it is generate's.
"""

from collections.abc import Sequence

import torch

from limner.engine.seeds import generator_seed
from limner.engine.speaking.question import Manner


class Chooser:
    """A logits processor that leaves one token possible in every row that samples, so that a greedy loop takes it.

    Every such row has a noise generator of its own: what a seed says does not depend on who else is asked.
    """

    def __init__(self, manners: Sequence[Manner], device: torch.device) -> None:
        self._sampled = {i: manner for i, manner in enumerate(manners) if manner.temperature > 0}
        self._generators = {
            i: torch.Generator(device).manual_seed(generator_seed(manner.seed)) for i, manner in self._sampled.items()
        }

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """``scores``  # (B, vocabulary)"""
        for row, manner in self._sampled.items():
            token = torch.multinomial(_probabilities(scores[row], manner), 1, generator=self._generators[row])
            scores[row] = -torch.inf
            scores[row, token] = 0.0
        return scores


def _probabilities(scores: torch.Tensor, manner: Manner) -> torch.Tensor:
    """What is drawn from: the likeliest tokens that make up ``top_p`` together, at least one."""
    probabilities = torch.softmax(scores.float() / manner.temperature, dim=-1)  # (vocabulary,)
    if manner.top_p >= 1:
        return probabilities
    ranked, order = probabilities.sort(descending=True)
    outside = ranked.cumsum(0) - ranked >= manner.top_p
    outside[0] = False
    return probabilities.index_fill(0, order[outside], 0.0)
