// The same as page.mjs, with SIP.js.

import { Inviter, Registerer, RegistererState, SessionState, UserAgent, Web } from "sip.js";
import { hear, mediaStream, obey, password, pcConfig, server, tell, uri } from "./sound.mjs";

let session;
const words = {
  [SessionState.Established]: "established",
  [SessionState.Terminated]: "ended",
};

function follow(other) {
  session = other;
  session.delegate = { onSessionDescriptionHandler: handler => hear(handler.peerConnection) };
  session.stateChange.addListener(state => { if (words[state]) tell(words[state]); });
}

const reinvite = options => new Promise((onAccept, onReject) => {
  session.sessionDescriptionHandlerOptionsReInvite = options;
  session.invite({ requestDelegate: { onAccept, onReject } });
});

const ua = new UserAgent({
  uri: UserAgent.makeURI(uri),
  transportOptions: { server },
  authorizationUsername: UserAgent.makeURI(uri).user,
  authorizationPassword: password,
  logLevel: "error",
  sessionDescriptionHandlerFactory: Web.defaultSessionDescriptionHandlerFactory(async () => mediaStream.clone()), // it stops what it is given
  sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: pcConfig },
  delegate: { onInvite: invitation => { follow(invitation); tell("incoming"); } },
});
await ua.start();
const registerer = new Registerer(ua);
registerer.stateChange.addListener(state => { if (state === RegistererState.Registered) tell("registered"); });
await registerer.register();
await obey({
  // An offer that browsers cannot take is refused when it is answered, and another one comes.
  answer: () => session.accept().catch(() => tell("refused")),
  call: target => {
    follow(new Inviter(ua, UserAgent.makeURI(target)));
    return session.invite();
  },
  hold: () => reinvite({ hold: true }).then(() => tell("holds")),
  unhold: () => reinvite({ hold: false }).then(() => tell("holds no more")),
  restartIce: () => reinvite({ offerOptions: { iceRestart: true } }).then(() => tell("restarted")),
  press: digits => session.sessionDescriptionHandler.sendDtmf(digits),
  hangUp: () => session.bye(),
});
