"""What ``/metrics`` tells."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bridge import Bridge


def numbers(bridge: Bridge) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    text = requests.get(f"{bridge.url}/metrics", timeout=60).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
