"""Who answered a call, a person or a machine: by how the first words go.

A person says little and waits; an announcement goes on. So what counts is how long the greeting is, in how many words, and
whether somebody waits after it. The line is listened to from the answer on.
"""

from __future__ import annotations

from typing import Final

from offhook.media.messages import Judgement, Verdict, VerdictReason
from offhook.media.sources import FRAME_MS

INITIAL_SILENCE_MS: Final = 4000
"""Nobody speaks for so long: people who say nothing, and lines that are dead."""
GREETING_MS: Final = 2600
"""A greeting with all its pauses that is as long as this is an announcement."""
WAITS_MS: Final = 900
"""Whoever is silent for so long after the greeting waits for an answer. Announcements pause for up to 0.7 s."""
MIN_WORD_MS: Final = 100
"""What is shorter is a knock, or breath."""
MANY_WORDS: Final = 6
"""Words, as far as there are pauses between them."""
DECIDED_WITHIN_MS: Final = 7000


class Judge:
    """Decides about one call; fed with every 20 ms from the answer on. `judgement` stays once it is made."""

    def __init__(self) -> None:
        self.judgement: Judgement | None = None
        self._now_ms = 0
        self._first_ms = -1  # when the greeting began
        self._last_ms = 0  # when it was heard last
        self._word_ms = 0  # how long this one is by now
        self._words = 0

    def feed(self, speaking: bool) -> Judgement | None:
        """Take 20 ms; return the judgement in the moment it is made."""
        if self.judgement is not None:
            return None
        self._now_ms += FRAME_MS
        if speaking:
            self._word_ms += FRAME_MS
            if self._word_ms == MIN_WORD_MS:
                self._words += 1
                if self._first_ms < 0:
                    self._first_ms = self._now_ms - MIN_WORD_MS
            if self._first_ms >= 0:
                self._last_ms = self._now_ms
        else:
            self._word_ms = 0
        return self._decide()

    def fax(self) -> Judgement | None:
        """A fax machine was heard."""
        return None if self.judgement is not None else self._made("machine", "fax")

    def _decide(self) -> Judgement | None:
        if self._first_ms < 0:
            return self._made("unknown", "no_speech") if self._now_ms >= INITIAL_SILENCE_MS else None
        if self._last_ms - self._first_ms >= GREETING_MS:
            return self._made("machine", "long_greeting")
        if self._words >= MANY_WORDS:
            return self._made("machine", "many_words")
        if self._now_ms - self._last_ms >= WAITS_MS:
            return self._made("human", "short_greeting")
        if self._now_ms >= DECIDED_WITHIN_MS:
            return self._made("unknown", "undecided")
        return None

    def _made(self, verdict: Verdict, reason: VerdictReason) -> Judgement:
        greeting = self._last_ms - self._first_ms if self._first_ms >= 0 else 0
        self.judgement = Judgement(verdict, reason, self._now_ms, greeting, self._words)
        return self.judgement
