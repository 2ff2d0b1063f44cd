// A phone in a page: JsSIP over WebSocket, sound by WebRTC. It tells what happens, and does what it is asked.

import JsSIP from "jssip";

const [server, uri, password, bundlePolicy] = decodeURIComponent(location.hash.slice(1)).split(" ");
const pcConfig = { iceServers: [], bundlePolicy };
const TONE = 440;

const tell = (what, more = {}) => fetch("/tell", { method: "POST", body: JSON.stringify({ what, ...more }) });
const context = new AudioContext();
let session;
let analyser;

function voice() {
  const tone = context.createOscillator();
  const gain = context.createGain();
  const out = context.createMediaStreamDestination();
  tone.frequency.value = TONE;
  gain.gain.value = 0.3;
  tone.connect(gain).connect(out);
  tone.start();
  return out.stream;
}

const mediaStream = voice();

function hear(connection) {
  connection.addEventListener("track", event => {
    const stream = event.streams[0] ?? new MediaStream([event.track]);
    const player = new Audio(); // without one, nothing is decoded
    player.srcObject = stream;
    player.muted = true;
    player.play();
    analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    analyser.smoothingTimeConstant = 0;
    context.createMediaStreamSource(stream).connect(analyser);
  });
  connection.addEventListener("connectionstatechange", () => tell(connection.connectionState));
}

const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(server)], uri, password });
ua.on("registered", () => tell("registered"));
ua.on("registrationFailed", data => tell("error", { error: `not registered: ${data.cause}` }));
ua.on("newRTCSession", data => {
  session = data.session;
  for (const name of ["hold", "unhold"]) session.on(name, event => tell(`${name} ${event.originator}`));
  session.on("newDTMF", event => { if (event.originator === "remote") tell("digit", { digit: event.dtmf.tone }); });
  session.on("ended", event => tell("ended", { cause: event.cause }));
  for (const name of ["failed", "peerconnection:setremotedescriptionfailed"])
    session.on(name, event => tell("error", { error: `${name}: ${event.cause ?? event}` }));
  if (data.originator === "remote") {
    session.on("peerconnection", event => hear(event.peerconnection));
    tell("incoming");
  }
});

function loudest() {
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let best = 0;
  for (let bin = 1; bin < bins.length; bin++) if (bins[bin] > bins[best]) best = bin;
  return (best * context.sampleRate) / analyser.fftSize;
}

const commands = {
  answer: () => session.answer({ mediaStream, pcConfig }),
  call: target => hear(ua.call(target, { mediaStream, pcConfig }).connection),
  callWithVideo: target => hear(ua.call(target, { mediaConstraints: { audio: true, video: true }, pcConfig }).connection),
  hold: () => session.hold({}, () => tell("holds")),
  unhold: () => session.unhold({}, () => tell("holds no more")),
  restartIce: () => session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => tell("restarted")),
  press: digits => session.sendDTMF(digits, { transportType: "RFC2833" }),
  hangUp: () => session.terminate(),
  listen: () => tell("heard", { hz: loudest() }),
};

await context.resume();
ua.start();
for (;;) {
  const wish = await (await fetch("/next")).json();
  if (wish === null) break;
  try {
    if (wish.name) await commands[wish.name](wish.argument);
  } catch (error) {
    tell("error", { error: `${wish.name}: ${error}` });
  }
}
