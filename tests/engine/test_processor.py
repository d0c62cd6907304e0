"""Tuned modules compute the same, faster or not."""

import pytest
import torch

from limner.engine import processor


@pytest.fixture
def modules() -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same small network twice."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 16, 24),
        torch.nn.Linear(24, 5, False),
    )
    tuned = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 16, 24),
        torch.nn.Linear(24, 5, False),
    )
    tuned.load_state_dict(plain.state_dict())
    processor.tune([tuned])
    return plain, tuned


def test_results_stay_the_same(modules: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    plain, tuned = modules
    for batch in (1, 2, 7):
        x = torch.randn(batch, 3, 4, 4)
        with torch.no_grad():
            torch.testing.assert_close(tuned(x), plain(x), atol=1e-5, rtol=1e-5)


def test_gradients_and_other_types_take_the_plain_way(modules: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    plain, tuned = modules
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(tuned(x), plain(x))
    with torch.no_grad():
        assert tuned.bfloat16()(x.bfloat16()).dtype is torch.bfloat16


def test_large_models_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "MAX_WEIGHT_BYTES", 10)
    layer = torch.nn.Linear(8, 8)
    processor.tune([layer])
    assert "forward" not in layer.__dict__
