// What phones in pages share: a tone as their voice, an ear, and somebody who hears what happens and says what to do.

export const [server, uri, password, bundlePolicy] = decodeURIComponent(location.hash.slice(1)).split(" ");
export const pcConfig = { iceServers: [], bundlePolicy };
const TONE = 440;

export const tell = (what, more = {}) => fetch("/tell", { method: "POST", body: JSON.stringify({ what, ...more }) });
const context = new AudioContext();
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

export const mediaStream = voice();

export function hear(connection) {
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

function loudest() {
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let best = 0;
  for (let bin = 1; bin < bins.length; bin++) if (bins[bin] > bins[best]) best = bin;
  return (best * context.sampleRate) / analyser.fftSize;
}

export async function obey(commands) {
  commands.listen = () => tell("heard", { hz: loudest() });
  await context.resume();
  for (;;) {
    const wish = await (await fetch("/next")).json();
    if (wish === null) break;
    try {
      if (wish.name) await commands[wish.name](wish.argument);
    } catch (error) {
      tell("error", { error: `${wish.name}: ${error}` });
    }
  }
}
