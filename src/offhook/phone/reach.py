"""Where the far end can reach a call's media: our own address, the one seen from outside, a relay, or what ICE finds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from offhook.media.candidates import PASSWORD_LENGTH, UFRAG_LENGTH, UNKNOWN_ICE, LocalIce
from offhook.media.messages import Candidate, CandidatesGathered, GatherCandidates, StreamConfig, StreamRouted, TurnServer
from offhook.media.negotiate import LocalMedia, ice_name, is_web
from offhook.phone.call import Call
from offhook.phone.desk import Desk
from offhook.phone.events import MediaCandidates, MediaRoute
from offhook.phone.settings import NatPolicy, NatSettings


@dataclass(frozen=True, slots=True)
class NatServers:
    """Input: the servers of the section [nat], with numeric addresses; `problem` says what could not be found."""

    stun: tuple[str, int] | None = None
    turn: TurnServer | None = None
    problem: str = ""


class Reach:
    """Knows the policy of each call, has its addresses found out, and puts them into its offers and answers."""

    def __init__(self, desk: Desk, settings: NatSettings) -> None:
        self.desk = desk
        self.settings = settings
        self.servers = NatServers()

    def policy(self, call: Call) -> NatPolicy:
        """Return what holds for the call: ICE where the far end can do nothing else, else what is wished for."""
        return "ice" if call.web else self._wish(call)

    def _wish(self, call: Call) -> NatPolicy:
        """Return the account's word, else the phone's."""
        account = self.desk.accounts.get(call.account)
        wish = account.settings.nat if account is not None else "default"
        return self.settings.policy if wish == "default" else wish

    def notice(self, call: Call, offer: bytes) -> None:
        """See whether the call's far end is one that nothing but ICE leads to, whatever is wished for."""
        call.web = is_web(offer)
        if call.web and not call.ice_ufrag:
            call.gathering, call.candidates = False, None  # what was found out under another policy was not for ICE

    def searches(self, call: Call) -> bool:
        """Tell whether the call's addresses have to be found out."""
        return self.policy(call) not in ("off", "address")

    def lacks(self, call: Call) -> bool:
        """Tell whether the call still has to wait for its addresses; they are asked for if need be."""
        if not self.searches(call):
            return False
        if not call.gathering:
            if self.policy(call) == "ice":
                self._rename(call)
            self.search(call)
        return call.candidates is None

    def _rename(self, call: Call) -> None:
        """Take a new name: with it the search for a way begins (again, RFC 8445 9)."""
        call.ice_ufrag, call.ice_pwd = self._new_name()

    def _new_name(self) -> tuple[str, str]:
        return self.desk.ids.token(UFRAG_LENGTH), self.desk.ids.token(PASSWORD_LENGTH)

    def search(self, call: Call) -> None:
        """Have the call's addresses found out, or found out again because this machine is somewhere else now."""
        call.gathering = True
        wish, servers = self._wish(call), self.servers
        addresses = (self.settings.public_address,) if self.settings.public_address and wish != "off" else ()
        self.desk.media(GatherCandidates(
            call.id, addresses,
            servers.stun if wish in ("stun", "ice") else None, servers.turn if wish in ("turn", "ice") else None,
            call.ice_ufrag, call.ice_pwd,
        ))  # fmt: skip

    def gathered(self, report: CandidatesGathered, call: Call) -> None:
        """Keep the addresses, and tell what could not be found."""
        again = call.candidates is not None
        call.ice_anew = again and bool(call.ice_ufrag) and call.config is not None
        call.candidates = report.candidates
        problems = (self.servers.problem, *report.problems) if self.servers.problem else report.problems
        texts = tuple(f"{each.kind} {each.address}:{each.port}" for each in report.candidates if each.component == 1)
        self.desk.emit(MediaCandidates(call=call.view(), candidates=texts, problems=problems))

    def local(self, call: Call, plain: LocalMedia) -> LocalMedia:
        """Return what the call brings, with the addresses under which it can be reached."""
        policy = self.policy(call)
        public = self.settings.public_address
        if policy == "address" and public and (":" in public) == (":" in plain.address):
            return replace(plain, address=public)
        if not call.candidates or policy in ("off", "address"):
            return plain
        # The default for those without ICE is of the family that the call goes by.
        same = tuple(each for each in call.candidates if (":" in each.address) == (":" in plain.address))
        first, second = (_default(same, component, policy, plain.address) for component in (1, 2))
        if first is None:
            return plain
        ice = None
        if policy == "ice" and call.ice_ufrag:  # else the call began under another policy, and there is no search in it
            # RFC 8445 6.1.1: who made the first offer decides.
            ice = LocalIce(call.ice_ufrag, call.ice_pwd, call.candidates, call.direction == "outgoing")
        beside = second is not None and (second.address, second.port) != (first.address, first.port + 1)
        return replace(
            plain, address=first.address, rtp_port=first.port, ice=ice, relayed=first.kind == "relay",
            rtcp=(second.address, second.port) if second is not None and beside else None,
            rtcp_mux=plain.rtcp_mux or ice is not None,
        )  # fmt: skip

    def expected(self, call: Call, local: LocalMedia) -> LocalMedia:
        """Return what the call will bring when its addresses are known, to see before that whether an offer can be answered."""
        if local.ice is not None or self.policy(call) != "ice":
            return local
        return replace(local, ice=UNKNOWN_ICE)

    def renamed(self, call: Call, local: LocalMedia) -> LocalMedia:
        """Return what the call brings to an offer of ours: under a new name, if our addresses are others now (RFC 8445 9).

        The call has its name until the offer is answered: what the far end offers meanwhile begins no search.
        """
        if not call.ice_anew or local.ice is None:
            return local
        ufrag, pwd = self._new_name()
        return replace(local, ice=replace(local.ice, ufrag=ufrag, pwd=pwd))

    def meet(self, call: Call, offer: bytes) -> None:
        """Take a new name if the far end has taken one: the search begins again (RFC 8445 9)."""
        if call.ice_remote and ice_name(offer) != call.ice_remote:
            self._rename(call)

    def agreed(self, call: Call, config: StreamConfig) -> None:
        """Remember with whom, and under which name of ours."""
        ice = config.ice
        call.ice_remote = ice.remote_ufrag if ice is not None else ""
        if ice is not None and ice.ufrag != call.ice_ufrag:
            call.ice_ufrag, call.ice_pwd, call.ice_anew = ice.ufrag, ice.pwd, False

    def routed(self, report: StreamRouted, call: Call) -> None:
        """ICE has chosen."""
        self.desk.emit(MediaRoute(call=call.view(), local=report.local, remote=report.remote, address=report.address))


def _default(candidates: tuple[Candidate, ...], component: int, policy: NatPolicy, address: str) -> Candidate | None:
    """Return the candidate for those who know nothing of ICE: the one that works most often (RFC 8445 5.1.4).

    Of our own addresses that is `address`, by which the far end's server is reached.
    """
    kinds = ("srflx", "host") if policy == "stun" else ("relay", "srflx", "host")
    own = [each for each in candidates if each.component == component]
    own.sort(key=lambda each: each.address != address)
    return next((each for kind in kinds for each in own if each.kind == kind), None)
