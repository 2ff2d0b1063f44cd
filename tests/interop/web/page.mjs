// A phone in a page: JsSIP over WebSocket, sound by WebRTC. It tells what happens, and does what it is asked.

import JsSIP from "jssip";
import { hear, mediaStream, obey, password, pcConfig, server, tell, uri } from "./sound.mjs";

let session;
const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(server)], uri, password });
ua.on("registered", () => tell("registered"));
ua.on("registrationFailed", data => tell("error", { error: `not registered: ${data.cause}` }));
ua.on("newRTCSession", data => {
  session = data.session;
  for (const name of ["hold", "unhold"]) session.on(name, event => tell(`${name} ${event.originator}`));
  session.on("newDTMF", event => { if (event.originator === "remote") tell("digit", { digit: event.dtmf.tone }); });
  session.on("ended", event => tell("ended", { cause: event.cause }));
  // An offer that browsers cannot take is refused when it is answered, and another one comes.
  session.on("failed", event => tell(event.cause === "WebRTC Error" ? "refused" : "error", { error: `failed: ${event.cause}` }));
  if (data.originator === "remote") {
    session.on("peerconnection", event => hear(event.peerconnection));
    tell("incoming");
  }
});

ua.start();
await obey({
  answer: () => session.answer({ mediaStream, pcConfig }),
  call: target => hear(ua.call(target, { mediaStream, pcConfig }).connection),
  callWithVideo: target => hear(ua.call(target, { mediaConstraints: { audio: true, video: true }, pcConfig }).connection),
  hold: () => session.hold({}, () => tell("holds")),
  unhold: () => session.unhold({}, () => tell("holds no more")),
  restartIce: () => session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => tell("restarted")),
  press: digits => session.sendDTMF(digits, { transportType: "RFC2833" }),
  hangUp: () => session.terminate(),
});
