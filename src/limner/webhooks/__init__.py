"""Telling a client's server that its job has ended: signed, retried, and never into the owner's own network.

Owns the wire field ``webhook``, the signature and the deliveries; knows neither HTTP requests to this server nor jobs
beyond their JSON.
"""

from limner.webhooks.hooks import check_url, parse_hook
from limner.webhooks.postman import Outcome, Postman
from limner.webhooks.sender import Sender
from limner.webhooks.signing import parse_secret, secret_text

__all__ = ["Outcome", "Postman", "Sender", "check_url", "parse_hook", "parse_secret", "secret_text"]
