"""What a dialect's handlers share: the service and the tools around it, built once per app."""

from dataclasses import dataclass
from typing import TypedDict, cast

from starlette.requests import Request as HttpRequest

from limner.accounts import Keyring
from limner.api.pictures import PictureReader
from limner.api.replies import Links
from limner.blobs import Blobs
from limner.config import Settings
from limner.errors import NotReady
from limner.media.threads import MediaThreads
from limner.service import Service


class FormLimits(TypedDict):
    """Keyword arguments of Starlette's form parser."""

    max_files: int
    max_fields: int
    max_part_size: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """The service and what surrounds it."""

    settings: Settings
    service: Service
    pictures: PictureReader
    keyring: Keyring

    @property
    def blobs(self) -> Blobs:
        """Where finished pictures lie."""
        return self.service.blobs

    @property
    def media(self) -> MediaThreads:
        """The threads for codecs."""
        return self.service.media

    @property
    def form_limits(self) -> FormLimits:
        """Bounds of a multipart body: files, fields, and bytes of a field that is text (a data URL may be one)."""
        return FormLimits(
            max_files=self.settings.max_images + 2,
            max_fields=self.settings.max_images + 100,
            max_part_size=self.settings.max_image_bytes * 4 // 3 + 1024,
        )

    def links(self, http: HttpRequest) -> Links:
        """Links under the public URL, or under the address the client used."""
        return self.links_under(self.settings.public_url or str(http.base_url))

    def links_under(self, base_url: str) -> Links:
        """Links under an address that is known beforehand."""
        return Links(self.blobs, base_url, self.settings.link_lifetime_s)


def gateway_of(http: HttpRequest) -> Gateway:
    """The app's gateway. Raises NotReady before the app has started."""
    gateway = getattr(http.app.state, "gateway", None)
    if gateway is None:
        raise NotReady("the server is starting", retry_after_s=2)
    return cast(Gateway, gateway)
