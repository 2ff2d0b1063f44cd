"""Registration in virtual time: crafted REGISTERs with right, wrong, stale and replayed credentials, and real endpoints."""

from __future__ import annotations

import pytest
from exchange_world import EXCHANGE, World, craft

from offhook.exchange.authority import MD5_ALONE, NONCE_LIFE
from offhook.exchange.registrar import MAX_CONTACTS, Answer
from offhook.sip import events as sip
from offhook.sip.auth import DigestChallenge, digest, digest_challenge
from offhook.sip.headers import parse_challenges
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message

CONTACT = "<sip:1001@10.0.2.1:5060>"


def credentials(request: Request, challenge: DigestChallenge, *, user: str = "1001", password: str = "practice-1001",
                count: int = 1) -> str:
    nc, uri = f"{count:08x}", str(request.uri)
    answer = digest(algorithm=challenge.algorithm, username=user, realm=challenge.realm, password=password,
                    method=request.method, uri=uri, nonce=challenge.nonce, nc=nc, cnonce="c", qop="auth")
    return (f'Digest username="{user}", realm="{challenge.realm}", nonce="{challenge.nonce}", uri="{uri}", '
            f'response="{answer}", algorithm={challenge.algorithm}, cnonce="c", qop=auth, nc={nc}')


def challenges(response: Response | None, name: str = "WWW-Authenticate") -> list[DigestChallenge]:
    assert response is not None
    return [digest_challenge(parse_challenges(value)[0]) for value in response.headers.get_all(name)]


def register(world: World, *headers: tuple[str, str], user: str = "1001", password: str = "", algorithm: int = 0) -> Response:
    """Register with the right password (unless another is given) and return the final answer."""
    first = world.ask(craft("REGISTER", user, caller=user))
    request = craft("REGISTER", user, caller=user, headers=headers)
    text = credentials(request, challenges(first)[algorithm], user=user, password=password or f"practice-{user}")
    request.headers.set("Authorization", text)
    answer = world.ask(request)
    assert answer is not None
    return answer


def contacts(world: World, user: str = "1001") -> list[str]:
    return [str(each.contact) for each in world.switch.proxy.registrar.bindings(user, world.now)]


def test_a_challenge_offers_the_stronger_algorithm_first() -> None:
    answer = World().ask(craft("REGISTER", "1001"))
    assert answer is not None
    assert answer.status == 401
    assert [each.algorithm for each in challenges(answer)] == ["SHA-256", "MD5"]


def test_of_phones_that_know_nothing_else_md5_alone_is_asked_for() -> None:
    world = World(algorithms=MD5_ALONE)
    assert [each.algorithm for each in challenges(world.ask(craft("REGISTER", "1001")))] == ["MD5"]
    assert register(world, ("Contact", CONTACT)).status == 200


@pytest.mark.parametrize("algorithm", [0, 1])
def test_the_right_password_registers(algorithm: int) -> None:
    world = World()
    answer = register(world, ("Contact", CONTACT), ("Expires", "120"), algorithm=algorithm)
    assert answer.status == 200
    assert answer.headers.get("Contact") == "<sip:1001@10.0.2.1:5060>;expires=120"
    assert contacts(world) == ["sip:1001@10.0.2.1:5060"]
    assert world.notes == ["1001: registered at 10.0.2.1:5060 for 120 s"]


def test_the_wrong_password_is_refused() -> None:
    world = World()
    assert register(world, ("Contact", CONTACT), password="guess").status == 403
    assert contacts(world) == []


def test_the_credentials_of_another_account_are_refused() -> None:
    world = World()
    first = world.ask(craft("REGISTER", "1001"))
    request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
    request.headers.set("Authorization", credentials(request, challenges(first)[0], user="1002", password="practice-1002"))
    answer = world.ask(request)
    assert answer is not None
    assert answer.status == 403


@pytest.mark.parametrize(("user", "status"), [("1000", 404), ("1001", 401), ("1009", 401), ("1010", 404), ("4711", 404)])
def test_the_accounts_are_1001_to_1009(user: str, status: int) -> None:
    answer = World().ask(craft("REGISTER", user))
    assert answer is not None
    assert answer.status == status


def test_an_old_nonce_is_stale() -> None:
    world = World()
    first = world.ask(craft("REGISTER", "1001"))
    world.run(NONCE_LIFE)
    request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
    request.headers.set("Authorization", credentials(request, challenges(first)[0]))
    answer = world.ask(request)
    assert answer is not None
    assert answer.status == 401
    assert all(each.stale for each in challenges(answer))


def test_a_nonce_of_an_exchange_that_was_started_again_is_stale() -> None:
    request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
    request.headers.set("Authorization", credentials(request, DigestChallenge("practice.local", "long ago", algorithm="MD5")))
    answer = World().ask(request)
    assert answer is not None
    assert answer.status == 401
    assert all(each.stale for each in challenges(answer))


@pytest.mark.parametrize(("counts", "expected"), [
    ((1, 2, 1), [200, 200, 401]), ((15, 16, 15), [200, 200, 401]), ((1, 255, 256), [200, 200, 200]),
])
def test_a_replayed_use_of_a_nonce_is_stale(counts: tuple[int, ...], expected: list[int]) -> None:
    world = World()
    first = world.ask(craft("REGISTER", "1001"))
    statuses = []
    for count in counts:
        request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
        request.headers.set("Authorization", credentials(request, challenges(first)[0], count=count))
        answer = world.ask(request)
        assert answer is not None
        statuses.append(answer.status)
    assert statuses == expected


def test_a_phone_that_does_not_count_uses_each_nonce_for_one_request() -> None:
    # RFC 2617 3.2.2: without qop, as RFC 2069 had it (pyVoIP)
    world = World()
    first = world.ask(craft("REGISTER", "1001"))
    challenge = challenges(first)[1]
    statuses = []
    for method in ("REGISTER", "REGISTER", "OTHER"):
        request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
        response = digest(algorithm="MD5", username="1001", realm=challenge.realm, password="practice-1001", method="REGISTER",
                          uri=f"sip:{method}", nonce=challenge.nonce)
        request.headers.set("Authorization", f'Digest username="1001", realm="{challenge.realm}", nonce="{challenge.nonce}", '
                                             f'uri="sip:{method}", response="{response}"')
        answer = world.ask(request)
        assert answer is not None
        statuses.append(answer.status)
    assert statuses == [200, 200, 401], "the second is the first once more, the third is another"


@pytest.mark.parametrize(("asked", "granted"), [("10", 10), ("100000", 3600), ("4294967295", 3600)])
def test_expiry_is_clamped(asked: str, granted: int) -> None:
    answer = register(World(), ("Contact", CONTACT), ("Expires", asked))
    assert answer.headers.get("Contact") == f"<sip:1001@10.0.2.1:5060>;expires={granted}"


def test_expiry_is_300_when_nothing_is_asked_and_the_contact_goes_before_the_header() -> None:
    assert (register(World(), ("Contact", CONTACT)).headers.get("Contact") or "").endswith("expires=300")
    answer = register(World(), ("Contact", CONTACT + ";expires=60"), ("Expires", "120"))
    assert (answer.headers.get("Contact") or "").endswith("expires=60")
    answer = register(World(), ("Contact", CONTACT + ";expires=soon"), ("Expires", "120"))
    assert (answer.headers.get("Contact") or "").endswith("expires=300")


def test_too_short_a_time_is_refused_with_the_least() -> None:
    world = World()
    answer = register(world, ("Contact", CONTACT), ("Expires", "9"))
    assert (answer.status, answer.headers.get("Min-Expires")) == (423, "10")
    assert contacts(world) == []


def test_several_contacts_and_one_removed() -> None:
    world = World()
    register(world, ("Contact", f"{CONTACT}, <sip:1001@10.0.2.2>"))
    assert len(contacts(world)) == 2
    answer = register(world, ("Contact", CONTACT), ("Expires", "0"))
    assert answer.headers.get_all("Contact") == ["<sip:1001@10.0.2.2>;expires=300"]
    assert contacts(world) == ["sip:1001@10.0.2.2"]
    assert world.notes == ["1001: registered at 10.0.2.1:5060 for 300 s", "1001: unregistered"]


def test_a_star_removes_all_but_only_with_expires_0() -> None:
    world = World()
    register(world, ("Contact", f"{CONTACT}, <sip:1001@10.0.2.2>"))
    assert register(world, ("Contact", "*")).status == 400
    assert len(contacts(world)) == 2
    answer = register(world, ("Contact", "*"), ("Expires", "0"))
    assert (answer.status, answer.headers.get_all("Contact")) == (200, [])
    assert contacts(world) == []


def test_a_register_without_contact_only_asks() -> None:
    world = World()
    register(world, ("Contact", CONTACT), ("Expires", "100"))
    world.run(50)
    assert (register(world).headers.get("Contact") or "").endswith("expires=50")


def test_bindings_end() -> None:
    world = World()
    register(world, ("Contact", CONTACT), ("Expires", "60"))
    world.run(59)
    assert len(contacts(world)) == 1
    world.run(2)
    assert contacts(world) == []
    assert world.notes[-1] == "1001: registration expired (sip:1001@10.0.2.1:5060)"


@pytest.mark.parametrize("contact", [CONTACT, "*"])
def test_an_old_cseq_changes_nothing(contact: str) -> None:
    world = World()
    late = craft("REGISTER", "1001", headers=(("Contact", contact), ("Expires", "0")))
    first = world.ask(craft("REGISTER", "1001"))
    register(world, ("Contact", CONTACT))
    late.headers.set("Authorization", credentials(late, challenges(first)[0]))
    answer = world.ask(late)
    assert answer is not None
    assert answer.status == 400
    assert len(contacts(world)) == 1


def test_a_contact_that_leads_back_is_refused() -> None:
    world = World()
    assert register(world, ("Contact", f"<sip:1001@{EXCHANGE[0]}:{EXCHANGE[1]}>")).status == 403


def test_too_many_contacts_are_refused() -> None:
    many = ", ".join(f"<sip:1001@10.0.3.{number}>" for number in range(MAX_CONTACTS + 1))
    assert register(World(), ("Contact", many)).status == 403


def test_contacts_of_other_schemes_are_refused() -> None:
    assert register(World(), ("Contact", "<sips:1001@10.0.2.1>")).status == 400


def test_a_contact_behind_a_nat_is_reached_where_it_came_from() -> None:
    world = World()
    first = world.ask(craft("REGISTER", "1001"))
    request = craft("REGISTER", "1001", host="192.168.1.5", headers=(("Contact", "<sip:1001@192.168.1.5>"),))
    request.headers.set("Authorization", credentials(request, challenges(first)[0]))
    world.ask(request)
    (binding,) = world.switch.proxy.registrar.bindings("1001", world.now)
    assert binding.flow.remote == ("10.0.2.1", 5060)
    for uri in ("sip:1001@192.168.1.5", "sip:1002@192.168.1.5", "sip:1001@192.168.1.5:5090"):
        inside = craft("BYE", "1001", caller="s", tag="t", uri=uri)
        world.send(("10.0.4.1", 5062), EXCHANGE, inside.encode())
    world.run(0.1)
    arrived = [message for message in map(parse_message, world.raw["10.0.2.1", 5060]) if isinstance(message, Request)]
    assert [str(each.uri) for each in arrived] == ["sip:1001@192.168.1.5"], "within a call likewise, and no other's"


@pytest.mark.parametrize(("contact", "transport", "remote"), [
    ("<sip:1001@10.0.2.1:5090>", "udp", ("10.0.2.1", 5090)), ("<sip:1001@10.0.2.9>", "udp", ("10.0.2.9", 5060)),
    ("<sip:1001@10.0.2.1;transport=tcp>", "tcp", ("10.0.2.1", 5060)),
    ("<sip:1001@pbx.example;maddr=10.0.2.7>", "udp", ("10.0.2.7", 5060)),
    ("<sip:1001@[2001:db8::1]>", "udp", ("2001:db8::1", 5060)), ("<sip:1001@localhost:5062>", "udp", ("127.0.0.1", 5062)),
    ("<sip:1001@pbx.example>", "udp", ("10.0.2.1", 5060)),
])
def test_a_contact_is_reached_where_it_says_unless_it_is_a_name(contact: str, transport: str, remote: tuple[str, int]) -> None:
    world = World()
    register(world, ("Contact", contact))
    (binding,) = world.switch.proxy.registrar.bindings("1001", world.now)
    assert (binding.flow.transport, binding.flow.remote) == (transport, remote)


def test_a_broken_connection_takes_its_contacts_along() -> None:
    world = World()
    flow = sip.Flow("tcp", EXCHANGE, ("10.0.2.1", 40000), 7)
    proxy = world.switch.proxy
    first = proxy.registrar.register(craft("REGISTER", "1001"), flow, world.now)
    request = craft("REGISTER", "1001", headers=(("Contact", CONTACT),))
    challenge = digest_challenge(parse_challenges(dict(first.headers)["WWW-Authenticate"])[0])
    request.headers.set("Authorization", credentials(request, challenge))
    assert isinstance(first, Answer)
    assert proxy.registrar.register(request, flow, world.now).status == 200
    world.switch.receive(sip.FlowFailed(flow, "closed"), world.now)
    assert contacts(world) == []


@pytest.mark.lengthy
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_endpoints_register_refresh_and_unregister(loss: float) -> None:
    world = World(loss)
    phone = world.phone("1003")
    phone.register(60)
    world.run(20)
    assert "Registered" in phone.names()
    world.run(3600)
    assert contacts(world, "1003") == ["sip:1003@10.0.1.1:5060"]
    phone.execute(sip.Unregister("1003"))
    world.run(40)
    assert contacts(world, "1003") == []
    assert phone.names()[-1] == "RegistrationEnded"


def test_an_endpoint_with_the_wrong_password_learns_it() -> None:
    world = World()
    phone = world.phone("1003", password="wrong")
    phone.register()
    world.run(5)
    (failed,) = [event for event in phone.events if isinstance(event, sip.RegistrationFailed)]
    assert failed.status == 403
