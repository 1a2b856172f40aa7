"""The event sequences of ``/responses`` (contract §7.5, §7.6, §13.7)."""

from typing import Any

from . import wire
from .dialects import argument_parts
from .inference import Json
from .responses_answer import Answer, Item
from .streams import copilot_usage


class Stream(Answer):
    """The events, in order and already framed."""

    def build(self) -> list[bytes]:
        self._frames: list[bytes] = []
        self._number = 0
        obfuscated = self.settings.vendor("obfuscation", self.job.caller.integration == "vscode-chat")
        self._padding = bool(obfuscated)
        for kind in ("created", "in_progress"):
            self._add(f"response.{kind}", response=self.response("in_progress", []))
        for index, item in enumerate(self.items):
            getattr(self, f"_{item.kind}_events")(index, item)
        if self.plan.stream_error and self.settings["responses_error"] != "failed":
            self._error(*self.plan.stream_error)
        else:
            self._terminal()
        return wire.finished(self._frames, self.settings, done=False)

    def _add(self, kind: str, **fields: Any) -> None:
        event: Json = {"type": kind, "sequence_number": self._number, **fields}
        if self.settings["missing_event_type"]:
            event.pop("type")
        self._number += 1
        text = wire.compact(event, bool(self.settings.vendor("sorted_keys", False)))
        self._frames.append(wire.framed(text, self.settings, kind))

    def _of(self, kind: str, item: Item, index: int, **fields: Any) -> None:
        """An event that names its item, by yet another id."""
        self._add(f"response.{kind}", item_id=self.id(item.key), output_index=index, **fields)

    def _hidden(self) -> Json:
        if not self._padding:
            return {}
        digest = self.world.digest("obfuscation").hex()
        return {"obfuscation": digest[: 4 + int(digest[:1], 16)]}

    def _added(self, item: Item, index: int, **changes: Any) -> None:
        shown = {"id": self.id(item.key), "type": item.kind, "status": "in_progress", **item.body, **changes}
        if item.kind in ("reasoning", "compaction"):
            shown.pop("status")
        self._add("response.output_item.added", output_index=index, item=shown)

    def _done(self, item: Item, index: int) -> None:
        self._add("response.output_item.done", output_index=index, item=self.handed_out(item, self.ended(item)))

    # -- one kind of item each -------------------------------------------------------------------------------------

    def _reasoning_events(self, index: int, item: Item) -> None:
        short = {"encrypted_content": self._secret()[:120]} if "encrypted_content" in item.body else {}
        self._added(item, index, summary=[], **short)
        for number, text in enumerate(item.parts if self.settings["reasoning_summary"] == "events" else []):
            name, where = "reasoning_summary_part", {"summary_index": number}
            self._of(f"{name}.added", item, index, **where, part={"type": "summary_text", "text": ""})
            for piece in argument_parts(text):
                self._of("reasoning_summary_text.delta", item, index, **where, delta=piece)
            self._of("reasoning_summary_text.done", item, index, **where, text=text)
            self._of(f"{name}.done", item, index, **where, part={"type": "summary_text", "text": text})
        self._done(item, index)

    def _compaction_events(self, index: int, item: Item) -> None:
        self._done(item, index)

    def _tool_search_call_events(self, index: int, item: Item) -> None:
        self._added(item, index)
        self._done(item, index)

    def _web_search_call_events(self, index: int, item: Item) -> None:
        self._added(item, index)
        for stage in ("in_progress", "searching", "completed"):
            self._of(f"web_search_call.{stage}", item, index)
        self._done(item, index)

    def _message_events(self, index: int, item: Item) -> None:
        part = item.body["content"][0]
        kind, key = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
        extra: Json = {"logprobs": []} if "logprobs" in part else {}
        self._added(item, index, content=[])
        blank = {**part, key: ""} | ({"annotations": []} if "annotations" in part else {})
        self._of("content_part.added", item, index, content_index=0, part=blank)
        for piece in item.parts:
            self._of(f"{kind}.delta", item, index, content_index=0, delta=piece, **extra, **self._hidden())
        if self.plan.stream_error:
            return
        for at, note in enumerate(part.get("annotations", [])):
            self._of("output_text.annotation.added", item, index, content_index=0, annotation_index=at, annotation=note)
        self._of(f"{kind}.done", item, index, content_index=0, **{key: part[key]}, **extra)
        self._of("content_part.done", item, index, content_index=0, part=part)
        self._done(item, index)

    def _function_call_events(self, index: int, item: Item) -> None:
        self._argument_events(index, item, "function_call_arguments", "arguments")

    def _custom_tool_call_events(self, index: int, item: Item) -> None:
        self._argument_events(index, item, "custom_tool_call_input", "input")

    def _argument_events(self, index: int, item: Item, kind: str, key: str) -> None:
        self._added(item, index, **{key: ""})
        for piece in item.parts:
            delta = self.world.blob("cipher", len(piece)) if self.settings["ciphertext_arguments"] else piece
            self._of(f"{kind}.delta", item, index, delta=delta, **self._hidden())
        self._of(f"{kind}.done", item, index, **{key: item.body[key]})
        self._done(item, index)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _terminal(self) -> None:
        status = "failed" if self.plan.stream_error else self.status
        output = [] if status == "failed" else [{**self.handed_out(item, self.ended(item))} for item in self.items]
        response = self.response(status, output)
        place = self.settings["native_copilot_usage"] if status != "failed" else "off"
        beside = {"copilot_usage": copilot_usage(self.plan)} if place == "beside" else {}
        if place == "inside":
            response["copilot_usage"] = copilot_usage(self.plan)
        self._add(f"response.{status}", response=response, **beside)

    def _error(self, code: str, message: str) -> None:
        """Contract §7.5.7: flat or nested; bare ones lack all framing."""
        error: Json = {"code": code, "message": message}
        if self.plan.stream_error_bare:
            self._frames.append(wire.bare({"error": error}))
        elif self.settings["responses_error"] == "nested":
            self._add("error", error=error)
        else:
            self._add("error", **error, param=None)
