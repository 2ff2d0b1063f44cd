"""What the media engine reports of a call's sound: that it comes, fails, how good it is, and how good it was."""

from __future__ import annotations

from msgspec import structs

from offhook.media import messages as media
from offhook.phone.call import Call, CallInput
from offhook.phone.closing import Closing
from offhook.phone.desk import Desk
from offhook.phone.events import CallEarly, MediaFailed, MediaResumed, MediaStarted, MediaStats


class Reports:
    """News of streams."""

    def __init__(self, desk: Desk, closing: Closing) -> None:
        self.desk = desk
        self.closing = closing

    def stream_failed(self, report: media.StreamFailed, call: Call) -> None:
        """The sound of a call cannot go on, and so neither can the call."""
        self.desk.emit(MediaFailed(call=call.view(), reason=report.reason))
        self.closing.hangup(call, reason=f"media failed: {report.reason}")

    def stream_resumed(self, _report: media.StreamResumed, call: Call) -> None:
        """Packets come, for the first time or again. RFC 3264 5.1: before the far end has said anything of them, too."""
        if call.can(CallInput.EARLY_MEDIA):
            call.step(CallInput.EARLY_MEDIA)
            self.desk.emit(CallEarly(call=call.view()))
        event = MediaResumed if call.media_seen else MediaStarted
        call.media_seen = True
        self.desk.emit(event(call=call.view()))

    def stream_stats(self, report: media.StreamStats, call: Call) -> None:
        """How it sounds just now. As long as nothing is agreed on there is nothing that should sound."""
        if call.config is None:
            return
        call.stats = report
        self.desk.emit(MediaStats(call=call.view(), stats=report))

    def stream_closed(self, report: media.StreamClosed) -> None:
        """Complete an ended call with its final figures: they come after the end, which nobody should wait for."""
        view = self.desk.ended.get(report.stream)
        if view is not None:
            s = report.stats
            figures = structs.replace(
                view.media, mos=s.mos, loss=s.loss, jitter_ms=s.jitter_ms, rtt_ms=s.rtt_ms, remote_mos=s.remote_mos
            )
            view = self.desk.ended[report.stream] = structs.replace(view, media=figures)
            if s.packets_received:
                self.desk.ended_stats[report.stream] = s
                self.desk.emit(MediaStats(call=view, stats=s, final=True))
