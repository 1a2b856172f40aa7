"""What the bridge itself reads of a request for images. All else passes as it is."""

from __future__ import annotations

from app.schemas.base import Boundary, Flag, Name


class ImagesRequest(Boundary):
    """``POST /v1/images/generations``, ``/v1/images/edits``."""

    model = Name(required=True)
    stream = Flag(allow_none=True)


IMAGES_REQUEST = ImagesRequest()
