// Against two real phones. The test that starts this says where they are, and kills and starts the first when asked:
// OFFHOOK_URL, OFFHOOK_TOKEN, OFFHOOK_PEER_URL, OFFHOOK_PEER_TOKEN, OFFHOOK_PEER_SIP, OFFHOOK_CONTROL (a port).

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectPlain, createServer } from "node:net";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { CallOver, ConnectionLost, InvalidArgument, NotFound, OffhookError, OperationError, Softphone, TimedOut, Unauthenticated } from "../dist/index.js";

const { OFFHOOK_URL: url, OFFHOOK_TOKEN: token, OFFHOOK_PEER_URL, OFFHOOK_PEER_TOKEN, OFFHOOK_PEER_SIP, OFFHOOK_CONTROL } = process.env;
const PATIENCE = 15_000;

let phone;
let peer;

before(async () => {
  phone = await Softphone.connect({ url, token });
  peer = await Softphone.connect({ url: OFFHOOK_PEER_URL, token: OFFHOOK_PEER_TOKEN });
});

after(() => {
  phone.close();
  peer.close();
});

/** Ask the test that started us for something: "kill" (kill -9) or "start". */
async function control(word) {
  const socket = connectPlain({ host: "127.0.0.1", port: Number(OFFHOOK_CONTROL) });
  socket.write(word + "\n");
  const [answer] = await once(socket, "data");
  socket.destroy();
  assert.equal(String(answer), "done\n");
}

/** The next event of that type; ask for it before what makes it happen. */
function next(phone, type) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${type} in ${PATIENCE} ms`)), PATIENCE);
    const stop = phone.on(type, (...args) => {
      clearTimeout(late);
      stop();
      resolve(args);
    });
  });
}

/** Call the peer and let it answer. */
async function talk(from = phone) {
  const rings = next(peer, "call.incoming");
  const call = await from.dial(OFFHOOK_PEER_SIP);
  const [there] = await rings;
  await there.answer();
  await call.active(PATIENCE);
  return [call, there];
}

/** Fail unless each event follows the one before, and none comes twice. */
function assertGapless(ids) {
  const last = new Map();
  for (const id of ids) {
    const [epoch, seq] = id.split("-");
    if (last.has(epoch)) assert.equal(Number(seq), last.get(epoch) + 1, `${id} after ${last.get(epoch)}`);
    last.set(epoch, Number(seq));
  }
  return last.size;
}

test("a call: dial, answer, digits, hold, resume, hang up", async () => {
  const [call, there] = await talk();
  assert.equal(call.direction, "outgoing");
  assert.equal((await phone.status()).name, "ACTIVE");
  assert.deepEqual(phone.calls, [call]);
  const digits = [];
  const stop = peer.on("dtmf.received", (_call, event) => digits.push(event.data.digit));
  const lastDigit = there.until("dtmf.received");
  await call.dtmf("1");
  await lastDigit;
  await call.dtmf("2#", { duration_ms: 80 });
  assert.deepEqual(digits.slice(0, 1), ["1"]);
  stop();
  await call.hold();
  assert.equal(call.state, "held_local");
  await there.until("held_remote", PATIENCE);
  await call.resume();
  await call.active(PATIENCE);
  const over = there.ended(PATIENCE);
  await call.hangup();
  await over;
  assert.equal(call.end.by, "local");
  assert.equal(there.end.by, "remote");
  assert.deepEqual(phone.calls, []);
});

test("the other side declines: the wait says so, and the operation too", async () => {
  const rings = next(peer, "call.incoming");
  const call = await phone.dial(OFFHOOK_PEER_SIP);
  const waiting = assert.rejects(call.active(PATIENCE), (error) => error instanceof CallOver && /603/.test(error.message));
  const [there] = await rings;
  await there.reject(603);
  await waiting;
  const ringsAgain = next(peer, "call.incoming");
  const { operation } = await phone.request("dial", { to: OFFHOOK_PEER_SIP });
  const [again] = await ringsAgain;
  await again.reject(486);
  await assert.rejects(phone.outcome(operation), (error) => error instanceof OperationError && error.sipStatus === 486);
});

test("waiting for the first of several things; what is so already is an answer at once", async () => {
  const [call, there] = await talk();
  const answered = await phone.wait({ state: "answered", call: call.id }, { timeout: 0 });
  assert.equal(answered.event, null);
  assert.equal(answered.call.id, call.id);
  const pressed = phone.wait([{ state: "held_both", call: call.id }, { event: "dtmf.received", call: call.id, data: { digit: "2" } }]);
  await there.dtmf("12");
  const found = await pressed;
  assert.equal(found.condition, 1);
  assert.equal(found.event.data.digit, "2");
  const { operation } = await phone.request("hold", { call: call.id });
  assert.equal((await phone.wait({ operation })).operation.state, "succeeded");
  await assert.rejects(phone.wait({ state: "incoming" }, { timeout: 20 }), (error) => error instanceof TimedOut);
  const impossible = assert.rejects(phone.wait({ event: "dtmf.*", call: call.id }), (error) => error.code === "invalid-state");
  await call.hangup();
  await impossible;
  const again = await phone.wait({ event: "dtmf.received", data: { digit: "2" } }, { after: answered.after, timeout: 0 });
  assert.equal(again.event.id, found.event.id);
  await assert.rejects(phone.wait({ event: "moon" }), (error) => error instanceof InvalidArgument);
});

test("a wait outlives a phone that is killed and started again", async () => {
  const waiting = phone.wait({ event: "settings.changed", data: { dnd: true } }, { timeout: PATIENCE });
  await control("kill");
  await control("start");
  await phone.request("set_dnd", { enabled: true });
  const found = await waiting;
  assert.equal(found.event.data.dnd, true);
  await phone.request("set_dnd", { enabled: false });
});

test("what becomes of an operation is not confused with that of a run before", async () => {
  let [call] = await talk();
  for (const digit of "123") await call.dtmf(digit);
  await call.hangup();
  await control("kill");
  await control("start");
  [call] = await talk();
  await assert.rejects(call.play({ file: "/no/such.wav" }), InvalidArgument);
  await assert.rejects(call.play({ file: fileURLToPath(import.meta.url) }), OperationError); // it is there, but no sound
  await call.hangup();
});

test("a phone that is killed leaves nobody waiting", async () => {
  const [call, there] = await talk();
  const loop = (async () => {
    let last = "";
    for await (const event of call.events()) last = event.type;
    return last;
  })();
  const playing = assert.rejects(call.play({ tone: "440", loop: true }), ConnectionLost);
  await next(phone, "playback.started");
  await control("kill");
  await control("start");
  await playing;
  assert.notEqual(await loop, "call.ended");
  for await (const event of call.events()) assert.fail(`the call is over: ${event.type}`);
  await there.hangup();
});

test("errors have classes and codes", async () => {
  await assert.rejects(phone.request("set_volume", { volume: 101 }), (error) => {
    assert.ok(error instanceof InvalidArgument);
    assert.ok(error instanceof OffhookError);
    assert.equal(error.code, "invalid-argument");
    assert.equal(error.errors[0].pointer, "/volume");
    return true;
  });
  await assert.rejects(phone.call("nobody"), NotFound);
  await assert.rejects(Softphone.connect({ url, token: "wrong" }), Unauthenticated);
  const nobody = createServer().listen(0, "127.0.0.1");
  await once(nobody, "listening");
  const { port } = nobody.address();
  nobody.close();
  await once(nobody, "close");
  await assert.rejects(Softphone.connect({ url: `http://127.0.0.1:${port}`, token }), ConnectionLost);
});

test("questions are answered", async () => {
  assert.equal((await phone.setVolume(55)).output_volume, 55);
  assert.equal((await phone.audio()).output_volume, 55);
  assert.ok(Array.isArray(await phone.devices()));
  assert.deepEqual(await phone.accounts(), []);
  assert.ok((await phone.history()).length >= 1);
  const received = next(peer, "message.received");
  await phone.sendMessage(OFFHOOK_PEER_SIP, "good day");
  assert.equal((await received)[0].data.text, "good day");
});

test("events are read in a loop, of all calls and of one", async () => {
  const seen = [];
  const loop = (async () => {
    for await (const event of phone.events("call.*")) {
      seen.push(event.type);
      if (event.type === "call.ended") break;
    }
  })();
  const [call] = await talk();
  const own = [];
  const ownLoop = (async () => {
    for await (const event of call.events()) own.push(event.type);
  })();
  await call.mute();
  await call.hangup();
  await Promise.all([loop, ownLoop]);
  assert.deepEqual([seen[0], seen.at(-1)], ["call.created", "call.ended"]);
  assert.ok(own.includes("call.muted") && own.at(-1) === "call.ended");
});

test("only some types come where only some are wanted, and calls are known all the same", async () => {
  const few = await Softphone.connect({ url, token, types: ["dtmf.received"] });
  const types = new Set();
  few.on("*", (event) => types.add(event.type.split(".")[0]));
  const [call] = await talk(few);
  await call.hangup();
  assert.ok(!types.has("audit") && !types.has("media"), [...types].join());
  few.close();
  assert.equal(few.connected, false);
  await assert.rejects(few.status(), (error) => error.code === "closed");
});

test("a wire that breaks: what happened meanwhile comes, once", async () => {
  const target = new URL(url);
  const open = new Set();
  let isCut = false;
  const proxy = createServer((socket) => {
    socket.on("error", () => undefined);
    if (isCut) {
      socket.destroy();
      return;
    }
    const there = connectPlain({ host: target.hostname, port: Number(target.port) });
    there.on("error", () => undefined);
    there.on("close", () => socket.destroy());
    socket.on("close", () => there.destroy());
    socket.pipe(there).pipe(socket);
    open.add(socket);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const wired = await Softphone.connect({ url: `http://127.0.0.1:${proxy.address().port}`, token });
  const ids = [];
  const types = [];
  wired.on("*", (event) => {
    ids.push(event.id);
    types.push(event.type);
  });
  for (let round = 0; round < 3; round += 1) {
    const [call] = await talk();
    const lost = next(wired, "connection.lost");
    isCut = true;
    for (const socket of open) socket.destroy();
    await lost;
    assert.equal(wired.connected, false);
    await call.hangup();
    isCut = false;
    const there = await wired.call(call.id);
    await there.ended(PATIENCE);
    await wired.request("ping", {});
  }
  const [last] = await talk();
  await last.hangup();
  await (await wired.call(last.id)).ended(PATIENCE);
  assert.equal(assertGapless(ids), 1);
  assert.equal(types.filter((type) => type === "call.ended").length, 4);
  wired.close();
  proxy.close();
});

test("kill -9 of the phone: its call is over, the next run is heard from its first event on", async () => {
  const ids = [];
  phone.on("*", (event) => ids.push(event.id));
  const gaps = [];
  phone.on("stream.gap", (note) => gaps.push(note));
  const [call] = await talk();
  const before = phone.cursor.split("-")[0];
  const lost = next(phone, "connection.lost");
  const over = call.ended(PATIENCE);
  await control("kill");
  await lost;
  const asked = phone.status();
  await control("start");
  assert.equal((await asked).name, "IDLE", "a question during the break waits for the phone");
  await over;
  assert.equal(call.end.by, "network");
  const [again] = await talk();
  await again.hangup();
  assert.notEqual(phone.cursor.split("-")[0], before);
  assert.equal(assertGapless(ids), 2);
  const second = ids.filter((id) => !id.startsWith(before + "-"));
  assert.equal(second[0].split("-")[1], "1");
  assert.deepEqual(gaps, []);
});

test("another process goes on after the last event heard", async () => {
  const first = await Softphone.connect({ url, token });
  await first.setVolume(11);
  const cursor = first.cursor;
  first.close();
  await phone.setVolume(22);
  await phone.setVolume(33);
  const volumes = [];
  const second = await Softphone.connect({ url, token, after: cursor, types: ["audio.*"] });
  await new Promise((resolve) => {
    second.on("audio.changed", (event) => {
      volumes.push(event.data.audio.output_volume);
      if (volumes.at(-1) === 44) resolve();
    });
    phone.setVolume(44);
  });
  assert.equal(volumes.at(-1), 44);
  second.close();
});
