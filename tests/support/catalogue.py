"""Models that the simulator lists only when a test adds them."""

from typing import Final

IMAGES: Final = {
    "id": "gpt-image-2",
    "name": "GPT Image 2",
    "object": "model",
    "vendor": "OpenAI",
    "version": "gpt-image-2",
    "supported_endpoints": ["/v1/images/generations", "/v1/images/edits"],
    "capabilities": {"family": "gpt-image-2", "type": "image"},
    "model_picker_enabled": True,
}
