"""What Copilot's model list warns of: old versions of the client, models that go or ail (contract §4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.errors import Sentence

_OUTDATED: Final = "client_version_deprecated"


@dataclass(frozen=True, slots=True)
class Notice:
    """code: Copilot's word for it. message: its sentence, for people."""

    code: str
    message: str

    @property
    def advice(self) -> str:
        """What to do about it, where that is ours to say."""
        if self.code != _OUTDATED:
            return ""
        return Sentence("Upgrade the bridge, or raise COPILOT_API_VERSION, EDITOR_VERSION and EDITOR_PLUGIN_VERSION.")


def notices_of(entries: Iterable[Mapping[str, Any]]) -> dict[Notice, list[str]]:
    """Every warning and the models it stands at. Of what merely informs, only what announces an end counts."""
    found: dict[Notice, list[str]] = {}
    for entry in entries:
        for field in ("warning_messages", "info_messages"):
            listed = entry.get(field)
            for raw in listed if isinstance(listed, list) else []:
                notice = _notice(raw)
                if notice is not None and (field == "warning_messages" or "deprecat" in notice.code):
                    names = found.setdefault(notice, [])
                    if str(entry.get("id")) not in names:
                        names.append(str(entry.get("id")))
    return found


def _notice(raw: Any) -> Notice | None:
    if not isinstance(raw, Mapping):
        return None
    code, message = raw.get("code"), raw.get("message")
    if not isinstance(message, str) or not message.strip():
        return None
    return Notice(code if isinstance(code, str) and code else "warning", " ".join(message.split())[:500])
