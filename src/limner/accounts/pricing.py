"""What a job costs, in micro-credits.

Owns the one rule: a model's price per picture where the catalogue has one, times what its parameters make of it,
otherwise device seconds at the server's rate. Amounts are computed in decimals, as the numbers were written, and
rounded up to whole micro-credits.
"""

import math
from collections.abc import Iterable
from decimal import Decimal

from limner.catalogue.spec import ModelSpec
from limner.core import Request
from limner.store.rows import MICRO


def estimate_micro(spec: ModelSpec, request: Request, device_s: float, rate: float) -> int:
    """What ``request`` will cost if it takes ``device_s`` at ``rate`` credits a device second."""
    return charge_micro(spec, request, request.n, device_s, rate)


def charge_micro(spec: ModelSpec, request: Request, images: int, device_s: float, rate: float) -> int:
    """What ``request`` has cost that made ``images`` pictures in ``device_s``; pictures beyond those asked for are
    free."""
    if spec.price_per_image is not None:
        return _micro(spec.price_per_image, min(images, request.n), _factors(spec, request))
    return _micro(rate, device_s)


def _factors(spec: ModelSpec, request: Request) -> list[float]:
    """By how much the request's parameters make a picture dearer."""
    used = ((param.cost_factors, request.params.get(name)) for name, param in spec.params.items())
    return [factors[value] for factors, value in used if isinstance(value, str) and value in factors]


def _micro(credits: float, times: float, factors: Iterable[float] = ()) -> int:
    if not credits or not times:
        return 0
    amounts = (Decimal(repr(number)) for number in (credits, times, *factors))
    return math.ceil(math.prod(amounts, start=Decimal(MICRO)))
