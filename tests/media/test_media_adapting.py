"""The jitter buffer adapts: to jitter, to calm, to loss, to pauses, to another clock; and what is heard has no seam."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from offhook.media import pcm
from offhook.media.codecs import Codec, codec
from offhook.media.codecs.kinds import missing as lacking
from offhook.media.pacing import SURPLUS_S
from offhook.media.receiving import Receiver
from offhook.media.sources import SILENCE, frame_bytes, solid
from offhook.testing import ears
from offhook.testing.badnet import FAR, BadNetwork, listen, stream

RATE = 8000


def receiver(used: Codec | None = None) -> Receiver:
    made = Receiver(lambda *_: None, lambda: None, lambda *_: None, lambda *_: None)
    made.configure({0: used if used is not None else codec("PCMU")}, {101: 8000})
    made.expect(FAR, False, 0.0)
    made.listen(True)
    return made


def tone(seconds: float, rate: int = RATE, hz: float = 300.0) -> array[int]:
    return array("h", [round(9000 * math.sin(math.tau * hz * place / rate)) for place in range(int(seconds * rate))])


def talk(seconds: float, rate: int = RATE) -> array[int]:
    """Return half a second of sound, a quarter of silence, and so on."""
    sound = tone(seconds, rate)
    pause = array("h", bytes(rate // 2))
    for at in range(rate // 2, len(sound) - rate // 4, rate * 3 // 4):
        sound[at : at + rate // 4] = pause
    return sound


def packets(sound: array[int], name: str = "PCMU") -> list[bytes]:
    used, raw = codec(name), sound.tobytes()
    size = frame_bytes(used.rate)
    payloads = [used.encode(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]
    return stream(payloads, 0, used.clock_rate // 50)


def hear(
    sound: array[int], network: BadNetwork, phase_s: float = 0.007, name: str = "PCMU"
) -> tuple[array[int], Receiver, list[tuple[float, float, float]]]:
    """Return what is heard, the receiver, and (time, delay, target) in ms tick for tick."""
    sent, used = packets(sound, name), receiver(codec(name))
    course: list[tuple[float, float, float]] = []

    def watch(now: float) -> None:
        course.append((now, used.buffer.delay_ms, used.buffer.target_ms))

    heard = listen(used, sent, network.arrivals(len(sent)), phase_s=phase_s, watch=watch)
    silent = bytes(frame_bytes(used.rate))
    return array("h", b"".join(silent if frame is SILENCE else frame for frame in heard)), used, course


@pytest.mark.parametrize("phase_s", [0.001, 0.007, 0.013, 0.019])
def test_a_quiet_network_costs_no_more_than_45_ms(phase_s: float) -> None:
    _, used, course = hear(talk(12.0), BadNetwork(), phase_s)
    # From a packet's arrival until its frame is played, and the frame itself.
    assert max(delay for now, delay, _ in course if now > 8.0) + 20.0 <= 45.0
    assert used.buffer.missing == used.buffer.late == 0


@pytest.mark.parametrize("phase_s", [0.002, 0.012])
def test_sixty_ms_of_jitter_are_learnt_within_two_seconds(phase_s: float) -> None:
    sound = talk(20.0)
    sent, used = packets(sound), receiver()
    calm, rough = BadNetwork().arrivals(len(sent)), BadNetwork(jitter_s=0.060).arrivals(len(sent))
    arrivals = sorted([each for each in calm if each[1] < 400] + [each for each in rough if each[1] >= 400])
    late: list[tuple[float, int]] = []
    listen(used, sent, arrivals, phase_s=phase_s, watch=lambda now: late.append((now, used.buffer.late + used.buffer.missing)))
    before = next(count for now, count in late if now > 10.0)
    assert late[-1][1] - before <= 5, "of 500 packets"
    assert before > 0, "it was taken by surprise"
    assert 55.0 <= used.buffer.target_ms <= 75.0
    assert used.buffer.delay_ms <= used.buffer.target_ms + 1000 * SURPLUS_S + 1.0
    assert used.buffer.reordered > 100


def test_calm_brings_the_delay_down_within_seconds() -> None:
    sound = talk(20.0)
    sent, used = packets(sound), receiver()
    rough, calm = BadNetwork(jitter_s=0.100).arrivals(len(sent)), BadNetwork().arrivals(len(sent))
    arrivals = sorted([each for each in rough if each[1] < 300] + [each for each in calm if each[1] >= 300])
    course: list[tuple[float, float]] = []
    listen(used, sent, arrivals, watch=lambda now: course.append((now, used.buffer.delay_ms)))
    assert max(delay for now, delay in course if 5.0 < now < 6.0) >= 100.0
    assert max(delay for now, delay in course if now > 13.0) <= 30.0


def test_where_packets_are_lost_the_next_one_is_waited_for() -> None:
    _, used, course = hear(talk(10.0), BadNetwork(loss=0.05))
    assert min(delay for now, delay, _ in course[:-30] if now > 3.0) >= 22.0
    assert used.buffer.missing == used.totals()[1]


@pytest.mark.lengthy
def test_where_runs_of_packets_are_lost_what_is_behind_them_is_waited_for() -> None:
    sent, used = packets(tone(20.0, hz=310.0)), receiver()
    lost = {place + row for place in range(200, 900, 60) for row in range(3)}
    arrivals = [each for each in BadNetwork().arrivals(len(sent)) if each[1] not in lost]
    delays: list[float] = []
    heard = array("h", b"".join(listen(used, sent, arrivals, watch=lambda _now: delays.append(used.buffer.delay_ms))))
    assert delays[180] < 50.0, "nothing was lost yet"
    assert all(60.0 <= delay <= 90.0 for delay in delays[420:900])
    levels = [pcm.rms(heard[at : at + 80].tobytes()) for at in range(RATE * 9, RATE * 17, 80)]
    assert min(levels) > 0.8 * 9000 / math.sqrt(2), "a gap of 60 ms that is filled from its beginning only is quiet at its end"


@pytest.mark.lengthy
def test_single_losses_are_no_runs() -> None:
    sent, used = packets(talk(20.0)), receiver()
    arrivals = [each for each in BadNetwork().arrivals(len(sent)) if each[1] % 30]
    delays: list[float] = []
    listen(used, sent, arrivals, watch=lambda _now: delays.append(used.buffer.delay_ms))
    assert max(delays[200:-30]) < 50.0


@pytest.mark.lengthy
@pytest.mark.skipif(bool(lacking("G722")), reason=lacking("G722") or "here")
def test_g722_is_told_once_of_each_gap() -> None:
    sent, used, g722, told = packets(tone(6.0, 16000), "G722"), receiver(), codec("G722"), list[int]()
    g722.resume = lambda heard: told.append(len(heard))  # type: ignore[misc]
    used.configure({0: g722}, {101: 8000})
    lost = {100, 150, 151, 152, 200}
    arrivals = [each for each in BadNetwork().arrivals(len(sent)) if each[1] not in lost]
    listen(used, sent, arrivals, extra_s=0.0)
    assert told == [5 * 640] * 3, "three frames that were heard, and two"


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["PCMU", "L16/16000"])
def test_a_tone_has_no_seam_while_the_delay_is_changed(name: str) -> None:
    rate = codec(name).rate
    heard, used, _ = hear(tone(24.0, rate), BadNetwork(jitter_s=0.050, seed=5), name=name)
    assert used.buffer.shrunk >= 1
    start, end = rate // 2, rate * 23
    bend = max(abs(heard[at + 1] - 2 * heard[at] + heard[at - 1]) for at in range(start, end))
    exact = 9000 * (math.tau * 300 / rate) ** 2
    quantised = 600 if name == "PCMU" else 0
    assert bend <= 1.6 * exact + quantised
    if used.buffer.late == used.buffer.missing == 0:
        blocks = [heard[at : at + rate // 50] for at in range(start, end, rate // 50)]
        assert min(max(block) for block in blocks) > 8000


@pytest.mark.lengthy
def test_a_marked_pause_is_no_loss_and_no_reason_to_wait() -> None:
    sent = packets(tone(10.0))
    used = receiver()
    # Every second 400 ms are not sent; the numbers go on, the talkspurt that begins is marked.
    spoken = [number for number in range(len(sent)) if number % 50 < 30]
    marked = []
    for count, number in enumerate(spoken):
        begins = number % 50 == 0 and number > 0
        header = bytearray(sent[number])
        header[1] |= 0x80 * begins
        header[2:4] = (1000 + count).to_bytes(2, "big")
        marked.append(bytes(header))
    arrivals = [(0.020 * number, place) for place, number in enumerate(spoken)]
    heard = listen(used, marked, arrivals)
    assert used.totals() == (len(spoken), 0)
    assert used.buffer.missing == used.buffer.late == used.buffer.resyncs == 0
    loud = [any(frame) for frame in heard]
    assert sum(loud) >= len(spoken)
    assert used.buffer.delay_ms <= 45.0


def test_without_a_mark_the_numbers_tell_that_nothing_is_missing() -> None:
    sent = packets(tone(4.0))
    used = receiver()
    spoken = [number for number in range(len(sent)) if not 60 <= number < 90]
    told = [sent[number][:2] + (1000 + count).to_bytes(2, "big") + sent[number][4:] for count, number in enumerate(spoken)]
    listen(used, told, [(0.020 * number, place) for place, number in enumerate(spoken)])
    assert used.buffer.missing == 0


def test_a_real_hole_is_counted() -> None:
    sent = packets(tone(4.0))
    used = receiver()
    listen(used, sent, [(0.020 * number, number) for number in range(len(sent)) if not 60 <= number < 65])
    assert used.buffer.missing == used.totals()[1] == 5


@pytest.mark.parametrize("seed", range(3))
def test_doubled_and_overtaken_packets_are_counted(seed: int) -> None:
    chance = random.Random(seed)
    sent = packets(talk(8.0))
    used = receiver()
    arrivals = [(0.020 * number + chance.random() * 0.030, number) for number in range(len(sent))]
    again = [(at + 0.001, number) for at, number in arrivals if chance.random() < 0.1]
    order = [number for _, number in sorted(arrivals)]
    overtaken = sum(number < max(order[: place + 1]) for place, number in enumerate(order))
    listen(used, sent, sorted(arrivals + again))
    assert used.buffer.duplicate == len(again)
    assert used.buffer.reordered + used.buffer.late >= overtaken > 0
    assert used.totals() == (len(sent), 0)


@pytest.mark.parametrize("ssrc", [7, 9])
def test_what_another_source_or_another_time_says_follows_without_a_click(ssrc: int) -> None:
    """As from the ringing tone that a PBX makes to the voice of who answered: what was heard passes over into it."""
    used = codec("L16/8000")
    raw = tone(10.0, hz=440.0).tobytes()
    payloads = [used.encode(raw[at : at + 320]) for at in range(0, len(raw), 320)]
    sent = [*stream(payloads[:250], 0, 160), *stream(payloads[255:], 0, 160, ssrc=ssrc, first=30_000)]
    listener = receiver(used)
    heard = b"".join(solid(frame, RATE) for frame in listen(listener, sent, BadNetwork().arrivals(len(sent)), extra_s=0.0))
    assert listener.ssrc == ssrc
    assert ears.click(heard[2 * RATE :], 440.0) < 0.1
    assert ears.longest_gap_ms(heard[2 * RATE :]) == 0


@pytest.mark.parametrize("lost", [101, 102])
def test_a_lost_packet_of_half_a_frame_makes_no_click(lost: int) -> None:
    used = codec("L16/8000")
    raw = tone(4.0, hz=440.0).tobytes()
    sent = stream([used.encode(raw[at : at + 160]) for at in range(0, len(raw), 160)], 0, 80)
    arrivals = [(0.010 * number, number) for number in range(len(sent)) if number != lost]
    listener = receiver(used)
    heard = b"".join(solid(frame, RATE) for frame in listen(listener, sent, arrivals, extra_s=0.0))
    assert ears.click(heard[2 * 4000 :], 440.0) < 0.3


def test_of_two_sources_at_a_time_the_one_that_began_last_is_heard() -> None:
    """Not both by turns, as where a PBX sends its music on while somebody speaks. Afterwards the other is heard again."""
    used = codec("L16/8000")

    def said(hz: float, seconds: float, ssrc: int, first: int) -> list[bytes]:
        raw = tone(seconds, hz=hz).tobytes()
        return stream([used.encode(raw[at : at + 320]) for at in range(0, len(raw), 320)], 0, 160, ssrc=ssrc, first=first)

    music, voice = said(440.0, 6.0, 7, 1000), said(1000.0, 2.0, 9, 30_000)
    arrivals = [(0.020 * number, number) for number in range(300)]
    arrivals += [(2.01 + 0.020 * number, 300 + number) for number in range(100)]
    listener = receiver(used)
    heard = b"".join(solid(frame, RATE) for frame in listen(listener, [*music, *voice], sorted(arrivals), extra_s=0.0))
    assert ears.has_tone(heard[2 * 17600 : 2 * 31200], 1000.0, purity=0.99)
    assert ears.longest_gap_ms(heard[2 * 17600 : 2 * 31200]) == 0
    assert ears.has_tone(heard[2 * 34000 :], 440.0, purity=0.99)


@pytest.mark.parametrize(("skew_ppm", "phase_s"), [(500.0, 0.007), (50.0, 0.001)])
def test_sound_without_pauses_and_a_slower_clock_loses_nothing(skew_ppm: float, phase_s: float) -> None:
    """Where periods were left out, frames begin within packets: what begins before its turn and ends behind it is not late."""
    # As loud as this, the periods that are left out have frames begin 3 ms behind the beginning of a packet.
    sound = array("h", [round(9830 * math.sin(math.tau * 440 * place / RATE)) for place in range(22 * RATE)])
    heard, used, _ = hear(sound, BadNetwork(skew_ppm=skew_ppm), phase_s)
    assert used.buffer.shrunk
    assert used.buffer.late == used.buffer.missing == 0
    assert all(max(heard[at : at + 160]) > 9000 for at in range(RATE, 21 * RATE, 160))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("skew_ppm", [200.0, -200.0])
def test_two_clocks_apart_for_an_hour(skew_ppm: float) -> None:
    """A clean tone: no growing delay, and no seam wherever a period is left out or doubled."""
    second = stream([codec("PCMU").encode(tone(1.0).tobytes()[at : at + 320]) for at in range(0, 16000, 320)], 0, 160)
    used, bend, worst, quiet = receiver(), 0, 0.0, 0
    before = array("h", [0, 0])
    now, tick, count = 0.007, 0, 50 * 3600
    sent = 0
    interval = 0.020 * (1 + skew_ppm / 1e6)
    for tick in range(count):
        now = 0.007 + 0.020 * tick
        while sent * interval <= now:
            made = second[sent % 50]
            header = (1000 + sent & 0xFFFF).to_bytes(2, "big") + (160 * sent & 0xFFFFFFFF).to_bytes(4, "big")
            used.receive(made[:2] + header + made[8:], FAR, 1000.0 + sent * interval)
            sent += 1
        used.hear(1000.0 + now)
        if tick % 10 == 0:
            used.buffer.review(1000.0 + now)
        frame = array("h", used.far)
        if tick > 1500:
            joined = before + frame
            if tick % 25 == 0 or not used.buffer.queue:
                bend = max(bend, max(abs(b + b - a - c) for a, b, c in zip(joined, joined[1:], joined[2:], strict=False)))
                quiet += max(frame) < 8000
            worst = max(worst, used.buffer.delay_ms)
        before = frame[-2:]
    assert used.buffer.missing == used.buffer.late == used.buffer.resyncs == quiet == 0
    assert used.buffer.stretched + used.buffer.shrunk >= 3600 * 200e-6 / 0.020
    assert worst + 20.0 <= 50.0
    assert bend <= 1.6 * 9000 * (math.tau * 300 / RATE) ** 2 + 600
