"""Digest: the examples of the RFCs, challenges, verification, and what an endpoint does with them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.sip import auth, events
from offhook.sip.events import Identity
from offhook.sip.message import Request
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Node, Wire

NONCE_7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
PEER = Uri.sip("peer", "10.0.0.9")


@pytest.mark.parametrize(("algorithm", "realm", "password", "nonce", "cnonce", "response"), [
    # RFC 2617 3.5, RFC 7616 3.9.1
    ("MD5", "testrealm@host.com", "Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b",
     "6629fae49393a05397450978507c4ef1"),
    ("MD5", "http-auth@example.org", "Circle of Life", NONCE_7616, CNONCE_7616, "8ca523f5e9506fed4657c9700eebdbec"),
    ("SHA-256", "http-auth@example.org", "Circle of Life", NONCE_7616, CNONCE_7616,
     "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    # The same by `openssl dgst -sha512-256`, which OpenSIPS agrees with.
    pytest.param(
        "SHA-512-256", "http-auth@example.org", "Circle of Life", NONCE_7616, CNONCE_7616,
        "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0",
        marks=pytest.mark.skipif("SHA-512-256" not in auth.STRENGTH, reason="this OpenSSL does not have it"),
    ),
])
def test_published_examples(algorithm: str, realm: str, password: str, nonce: str, cnonce: str, response: str) -> None:
    assert auth.digest(algorithm=algorithm, username="Mufasa", realm=realm, password=password, method="GET",
                       uri="/dir/index.html", nonce=nonce, nc="00000001", cnonce=cnonce, qop="auth") == response


@given(algorithm=st.sampled_from(sorted(auth.STRENGTH)), qop=st.sampled_from(["", "auth", "auth-int"]),
       password=st.text(st.characters(exclude_categories=["Cs", "Cc"])), realm=st.text("ab \"\\äx", max_size=8),
       body=st.binary(max_size=20), opaque=st.text("xyz", max_size=4))
def test_what_we_answer_verifies(algorithm: str, qop: str, password: str, realm: str, body: bytes, opaque: str) -> None:
    (challenge,) = auth.read_challenges([auth.make_challenge(realm, "n0", algorithm=algorithm, qop=qop, opaque=opaque)], [])
    credentials = auth.Credentials("al\"ice", password)
    credentials.learn("h", challenge, SeededIds(), "REGISTER")
    for count in (1, 2):
        ((name, value),) = credentials.headers("h", "REGISTER", "sip:x", body)
        assert name == "Authorization"
        assert auth.verify(value, method="REGISTER", password=password, body=body, realm=realm)
        assert not auth.verify(value, method="REGISTER", password=password + "x", body=body)
        assert not auth.verify(value, method="INVITE", password=password, body=body)
        assert not auth.verify(value, method="REGISTER", password=password, body=body, realm=realm + "x")
        given = auth.parse_authorization(value)
        assert given.get("opaque") == opaque
        assert bool(given.get("cnonce")) == bool(qop or algorithm.endswith("-SESS")), "RFC 2069 knows none"
        assert auth.parse_authorization(value).get("nc") == (f"{count:08x}" if qop else "")
    assert credentials.headers("elsewhere", "REGISTER", "sip:x", body) == []
    assert credentials.headers("h", "INVITE", "sip:x", body) == [], "a registrar's nonce is for registering"


@pytest.mark.parametrize("qop", ["", "auth"])
def test_a_session_key_is_made_of_the_nonces(qop: str) -> None:
    # RFC 7616 3.4.2: A1 = H(user:realm:password):nonce:cnonce
    (challenge,) = auth.read_challenges([auth.make_challenge("r", "n0", algorithm="md5-sess", qop=qop)], [])
    credentials = auth.Credentials("alice", "secret")
    credentials.learn("h", challenge, SeededIds(), "INVITE")
    ((_, value),) = credentials.headers("h", "INVITE", "sip:x", b"")
    given = auth.parse_authorization(value)
    key = md5(f"{md5('alice:r:secret')}:n0:{given.get('cnonce')}")
    middle = f"n0:{given.get('nc')}:{given.get('cnonce')}:auth" if qop else "n0"
    assert given.get("cnonce")
    assert given.get("response") == md5(f"{key}:{middle}:{md5('INVITE:sip:x')}")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_who_has_only_the_hash_of_a_password_can_check_it() -> None:
    value = ('Digest username="alice", realm="r", nonce="n", uri="sip:x", response="'
             + auth.digest(algorithm="MD5", username="alice", realm="r", password="secret", method="INVITE", uri="sip:x",
                           nonce="n").upper() + '"')
    assert auth.verify(value, method="INVITE", ha1=md5("alice:r:secret"))  # RFC 2617 3.2.1: MD5 is what is meant by nothing
    assert not auth.verify(value, method="INVITE", ha1=md5("alice:r:other"))


@given(st.text(max_size=60))
def test_verify_never_raises(text: str) -> None:
    assert auth.verify("Digest " + text, method="REGISTER", password="x") is False
    assert auth.verify(text, method="REGISTER", password="x") is False


def test_the_strongest_of_several_is_chosen_for_each_realm() -> None:
    found = auth.read_challenges(
        ['Digest realm="a", nonce="1", algorithm=MD5', 'Digest realm="a", nonce="2", algorithm=SHA-256, qop="auth,auth-int"',
         'Digest realm="a", nonce="3", algorithm=SHA-512-256', 'Digest realm="a", nonce="5", algorithm=AKAv1-MD5',
         "Basic realm=x", "nonsense\"", 'Digest realm="b"'],
        ['Digest realm="a", nonce="4", stale=TRUE'])
    assert [(each.nonce, each.proxy, each.stale) for each in found] == [("2", False, False), ("4", True, True)]


class Guard:
    """A peer that wants a password for everything."""

    def __init__(self, wire: Wire, password: str, *, proxy: bool = False) -> None:
        self.peer = Peer(wire, "peer", "10.0.0.9")
        self.peer.on_request = self.play
        self.password = password
        self.header = "Proxy-Authorization" if proxy else "Authorization"
        self.challenge = ("Proxy-Authenticate", 407) if proxy else ("WWW-Authenticate", 401)
        self.nonce = "one"
        self.stale = False
        self.challenged = 0

    def play(self, request: Request) -> None:
        if request.method == "ACK":
            return
        given = request.headers.get(self.header) or ""
        right = auth.verify(given, method=request.method, password=self.password)
        fresh = right and auth.parse_authorization(given).get("nonce") == self.nonce
        if fresh:
            self.peer.answer(request, 200, tag="t", body=ANSWER if request.method == "INVITE" else None)
        else:
            self.challenged += 1
            name, status = self.challenge
            value = auth.make_challenge("r", self.nonce, stale=right)
            self.peer.answer(request, status, tag="c", headers=((name, value),))


def guarded(password: str, *, proxy: bool = False) -> tuple[Wire, Node, Guard]:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain=PEER.host)
    return wire, alice, Guard(wire, password, proxy=proxy)


@pytest.mark.parametrize("proxy", [False, True])
def test_invite_is_challenged_once_and_the_nonce_reused(proxy: bool) -> None:
    wire, alice, guard = guarded("secret", proxy=proxy)
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(1)
    assert alice.of(events.SessionAnswered)
    assert len(alice.of(events.SessionCalling)) == 1
    first, second = guard.peer.requests("INVITE")
    assert first.call_id == second.call_id
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert guard.peer.requests("ACK")[-1].cseq.number == 2
    alice.execute(events.End("c"))
    wire.run(2)
    alice.execute(events.SendRequest("o", "alice", "OPTIONS", PEER))
    wire.run(3)
    assert guard.challenged == 1
    counts = [auth.parse_authorization(each.headers.get(guard.header) or "").get("nc")
              for each in (second, *guard.peer.requests("OPTIONS"))]
    assert counts[0] == "00000001"
    assert int(counts[1], 16) > 1


def test_stale_nonce_is_replaced() -> None:
    wire, alice, guard = guarded("secret")
    alice.execute(events.SendRequest("a", "alice", "OPTIONS", PEER))
    wire.run(1)
    guard.nonce = "two"
    alice.execute(events.SendRequest("b", "alice", "OPTIONS", PEER))
    wire.run(2)
    assert [event.status for event in alice.of(events.RequestDone)] == [200, 200]
    assert guard.challenged == 2


def test_wrong_password_ends() -> None:
    wire, alice, guard = guarded("other")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(100)
    ended = alice.of(events.SessionEnded)[0]
    assert (ended.by, ended.status) == ("remote", 401)
    assert guard.challenged == 2


@pytest.mark.parametrize(("challenges", "reason"), [
    (['Digest realm="a", nonce="1", algorithm=AKAv1-MD5'],
     "Unauthorized: asked for by AKAv1-MD5, which this phone does not know"),
    (["Basic realm=x", "NTLM abc=", 'Digest realm="b", nonce="1", algorithm=token', "Basic realm=y"],
     "Unauthorized: asked for by Basic, NTLM, token, which this phone does not know"),
    (['Digest realm="a"'], "Unauthorized"),
    (['nonsense"'], "Unauthorized"),
    ([], "Unauthorized"),
])
def test_a_password_that_is_asked_for_in_an_unknown_way(challenges: list[str], reason: str) -> None:
    wire, alice, guard = guarded("secret")

    def play(request: Request) -> None:
        if request.method != "ACK":
            guard.peer.answer(request, 401, tag="c", headers=tuple(("WWW-Authenticate", each) for each in challenges))
    guard.peer.on_request = play
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(1)
    (ended,) = alice.of(events.SessionEnded)
    assert (ended.status, ended.reason) == (401, reason)


def test_endless_stale_ends_too() -> None:
    wire, alice, guard = guarded("secret")

    def play(request: Request) -> None:
        if request.method != "ACK":
            guard.challenged += 1
            value = auth.make_challenge("r", f"n{guard.challenged}", stale=True)
            guard.peer.answer(request, 401, tag="c", headers=(("WWW-Authenticate", value),))
    guard.peer.on_request = play
    alice.execute(events.SendRequest("a", "alice", "MESSAGE", PEER, events.Body("text/plain", b"hi")))
    wire.run(100)
    assert alice.of(events.RequestDone)[0].status == 401
    assert guard.challenged == auth.CHALLENGE_LIMIT + 1


def test_a_server_with_another_realm_each_time_makes_requests_no_longer_and_longer() -> None:
    wire, alice, guard = guarded("secret")

    def play(request: Request) -> None:
        guard.challenged += 1
        values = (auth.make_challenge(f"r{guard.challenged}-{number}", "n", qop="auth") for number in range(20))
        guard.peer.answer(request, 401, tag="c", headers=tuple(("WWW-Authenticate", value) for value in values))
    guard.peer.on_request = play
    for number in range(20):
        alice.execute(events.SendRequest(str(number), "alice", "OPTIONS", PEER))
        wire.run(number + 1)
    brought = [auth.parse_authorization(value).get("realm") for value in guard.peer.requests("OPTIONS")[-1].headers.get_all(
        "Authorization")]
    assert brought == [f"r{guard.challenged - 1}-{number}" for number in range(auth.REALMS_KEPT)], "the topmost of the latest"
    assert [event.status for event in alice.of(events.RequestDone)] == [401] * 20


def test_nonces_of_many_servers_make_room_for_the_latest() -> None:
    credentials, ids = auth.Credentials("alice", "secret"), SeededIds()
    (challenge,) = auth.read_challenges([auth.make_challenge("r", "n")], [])
    for number in range(200):
        credentials.learn(f"h{number}", challenge, ids, "INVITE")
        credentials.learn("first", challenge, ids, "INVITE")
    assert len(credentials.known) == auth.NONCES_KEPT
    assert all(credentials.headers(place, "INVITE", "sip:x", b"") for place in ("first", "h199"))


def test_without_a_password_the_challenge_is_the_answer() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1")
    guard = Guard(wire, "x")
    alice.execute(events.SendRequest("a", "alice", "OPTIONS", PEER))
    wire.run(1)
    assert alice.of(events.RequestDone)[0].status == 401
    assert guard.challenged == 1


NOT_ITS_OWN = events.Refused("10.0.0.9", "asked for the password of an account that is not its own", 1)


def test_a_server_that_is_not_the_accounts_is_not_answered() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    guard = Guard(wire, "secret")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    alice.execute(events.SendRequest("o", "alice", "OPTIONS", PEER))
    wire.run(40)
    assert [each.status for each in (*alice.of(events.SessionEnded), *alice.of(events.RequestDone))] == [401, 401]
    assert not any("Authorization" in each.headers for each in guard.peer.got)
    assert alice.of(events.Refused)[0] == NOT_ITS_OWN


def test_a_caller_that_challenges_our_bye_learns_nothing_of_the_password() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    guard = Guard(wire, "secret", proxy=True)
    guard.peer.send((
        b"INVITE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nCall-ID: 1\r\n"
        b"From: <sip:peer@10.0.0.9>;tag=p\r\nTo: <sip:alice@10.0.0.1>\r\nCSeq: 1 INVITE\r\nContact: <sip:peer@10.0.0.9>\r\n"
        b"Content-Length: 0\r\n\r\n"
    ), alice)
    wire.run(1)
    (incoming,) = alice.of(events.SessionIncoming)
    alice.execute(events.Accept(incoming.session, OFFER))
    wire.run(40)  # no ACK comes, so the call is ended
    assert guard.peer.requests("BYE")
    assert not any("Proxy-Authorization" in each.headers for each in guard.peer.got)
    assert NOT_ITS_OWN in alice.of(events.Refused)


def test_a_call_that_our_server_has_set_up_goes_on_at_the_address_it_named() -> None:
    """An exchange with an address inside and one outside: its Contact is the other one than the phone found by name."""
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    wire.names["pbx.example"] = [("10.0.0.8", 5060)]
    outside, inside = Peer(wire, "outside", "10.0.0.8"), Guard(wire, "secret", proxy=True)

    def answer(request: Request) -> None:
        if request.method == "INVITE":
            outside.answer(request, 200, tag="t", body=ANSWER, headers=(("Contact", "<sip:peer@10.0.0.9>"),))

    outside.on_request = answer
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "pbx.example"), OFFER))
    wire.run(1)
    alice.execute(events.End("c"))
    wire.run(5)
    assert inside.challenged == 1
    assert [auth.parse_authorization(each.headers.get("Proxy-Authorization") or "Digest x=y").get("realm")
            for each in inside.peer.requests("BYE")] == ["", "r"]  # fmt: skip
    assert not alice.of(events.Refused)


def redirected(contact: str, status: int = 302, *, by: str = "10.0.0.8") -> tuple[Wire, Node, Guard]:
    """A call to the account's domain, sent on by `by` to somebody who wants the password."""
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    wire.names |= {name: [("10.0.0.9", 5060)] for name in ("two.pbx.example", "elsewhere.example", "notpbx.example")}
    wire.names["pbx.example"] = [("10.0.0.8", 5060)]
    first, guard = Peer(wire, "first", by), Guard(wire, "secret", proxy=True)

    def answer(request: Request) -> None:
        if request.method == "INVITE":
            first.answer(request, status, tag="t", contact=contact)

    first.on_request = answer
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "pbx.example" if by == "10.0.0.8" else by), OFFER))
    wire.run(40)
    return wire, alice, guard


def test_our_server_may_send_a_call_on_to_another_one_of_its_own() -> None:
    wire, alice, guard = redirected("<sip:peer@two.pbx.example>")
    assert alice.of(events.SessionAnswered)
    alice.execute(events.End("c"))
    guard.nonce = "two"
    wire.run(80)
    assert guard.challenged == 2, "of the INVITE, and of the BYE by a nonce that has grown old"
    assert not alice.of(events.Refused)
    assert guard.peer.requests("BYE")[-1].headers.get("Proxy-Authorization")


@pytest.mark.parametrize(("contact", "by"), [
    ("<sip:peer@elsewhere.example>", "10.0.0.8"), ("<sip:peer@notpbx.example>", "10.0.0.8"),
    ("<sip:peer@10.0.0.9>", "10.0.0.8"), ("<sip:peer@10.0.0.9>", "10.0.0.7"), ("<sip:peer@two.pbx.example>", "10.0.0.7"),
    ("<sip:peer@two.pbx.example;maddr=10.0.0.9>", "10.0.0.8"),
])
def test_others_to_whom_a_call_is_sent_on_learn_nothing_of_the_password(contact: str, by: str) -> None:
    _, alice, guard = redirected(contact, by=by)
    assert [each.status for each in alice.of(events.SessionEnded)] == [407]
    assert not any("Proxy-Authorization" in each.headers for each in guard.peer.got)
    assert NOT_ITS_OWN in alice.of(events.Refused)


def test_who_was_sent_to_sends_on_to_nobody_who_may_ask() -> None:
    """What our server says counts, and not what one says to whom it has sent us."""
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    for name, host in (("pbx.example", "10.0.0.8"), ("one.pbx.example", "10.0.0.7"), ("two.pbx.example", "10.0.0.9")):
        wire.names[name] = [(host, 5060)]
    peers, guard = [Peer(wire, "first", "10.0.0.8"), Peer(wire, "second", "10.0.0.7")], Guard(wire, "secret")
    for peer, contact in zip(peers, ("<sip:peer@one.pbx.example>", "<sip:peer@two.pbx.example>"), strict=True):
        def answer(request: Request, peer: Peer = peer, contact: str = contact) -> None:
            if request.method == "INVITE":
                peer.answer(request, 302, tag="t", contact=contact)
        peer.on_request = answer
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "pbx.example"), OFFER))
    wire.run(40)
    assert guard.challenged
    assert not any("Authorization" in each.headers for each in guard.peer.got)
    assert NOT_ITS_OWN in alice.of(events.Refused)


def test_a_proxy_to_use_gets_the_call_and_not_the_place_of_who_is_called() -> None:
    _, alice, guard = redirected("<sip:two.pbx.example:5060>", 305)
    assert alice.of(events.SessionAnswered)
    assert not alice.of(events.SessionRedirected)
    invite = guard.peer.requests("INVITE")[-1]
    assert str(invite.uri) == "sip:peer@pbx.example"
    assert [str(each) for each in invite.routes] == ["<sip:two.pbx.example:5060;lr>"]


def test_a_number_is_no_proxy() -> None:
    wire, alice, _ = redirected("<tel:+4930123>", 305)
    assert [each.status for each in alice.of(events.SessionEnded)] == [305]
    assert not any(b"tel:" in each.data for each in wire.sent if each.data.startswith(b"INVITE"))


def test_a_server_is_known_by_its_address_too() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    guard = Guard(wire, "secret")
    wire.names["pbx.example"] = [("10.0.0.9", 5060)]
    for number, target in enumerate((Uri.sip("peer", "pbx.example"), PEER)):
        alice.execute(events.SendRequest(str(number), "alice", "OPTIONS", target))
        wire.run(number + 1)
    assert [event.status for event in alice.of(events.RequestDone)] == [200, 200]
    assert guard.challenged == 2


@pytest.mark.parametrize(("user", "domain", "password", "right"), [
    ("alice", PEER.host, "changed", "changed"), ("carol", PEER.host, "hers", "secret"),
    ("alice", "10.0.0.8", "other", "secret"),
])
def test_a_call_goes_on_with_the_password_of_who_has_placed_it(user: str, domain: str, password: str, right: str) -> None:
    """The account may have become another user's, or another exchange's, whose password the former is not to be asked for."""
    wire, alice, guard = guarded("secret")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(1)
    guard.nonce, guard.password = "two", right
    alice.execute(events.SetIdentity(Identity(
        "alice", NameAddr(Uri.sip(user, domain)), password=password, contact_user=user)))
    alice.execute(events.End("c"))
    wire.run(2)
    (*_, last) = guard.peer.requests("BYE")
    assert auth.verify(last.headers.get(guard.header) or "", method="BYE", password=right)
    assert auth.parse_authorization(last.headers.get(guard.header) or "").get("username") == "alice"
