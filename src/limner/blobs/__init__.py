"""Finished files: stored by content, handed out under signed links that expire."""

from limner.blobs.store import Blobs, media_type_of

__all__ = ["Blobs", "media_type_of"]
