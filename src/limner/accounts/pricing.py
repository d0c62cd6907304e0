"""What a job costs, in micro-credits.

Owns the one rule: a model's price per picture where the catalogue has one, otherwise device seconds at the server's
rate. Amounts are computed in decimals, as the numbers were written, and rounded up to whole micro-credits.
"""

import math
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
        return _micro(spec.price_per_image, min(images, request.n))
    return _micro(rate, device_s)


def _micro(credits: float, times: float) -> int:
    return math.ceil(Decimal(repr(credits)) * Decimal(repr(times)) * MICRO)
