"""Who may do what, and what it costs: API keys, their scopes and limits, prices.

Owns the rules about callers; knows no HTTP and no wire format. Rows lie in `limner.store`.
"""

from limner.accounts.caller import NOBODY, OPEN, SCOPES, Caller, Scope
from limner.accounts.door import Door, is_loopback, open_keyring, prepare
from limner.accounts.keyring import Keyring
from limner.accounts.keys import NewKey
from limner.accounts.pricing import charge_micro, estimate_micro

__all__ = [
    "NOBODY", "OPEN", "SCOPES", "Caller", "Door", "Keyring", "NewKey", "Scope", "charge_micro", "estimate_micro",
    "is_loopback", "open_keyring", "prepare",
]  # fmt: skip
