// Our own WebSocket client against a server that does what the RFC allows, and what it does not.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";

import { MinimalWebSocket } from "../dist/websocket.js";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Serve one connection: `talk(socket, head)` after a good handshake; `answer` may spoil that. */
async function serving(talk, answer = (lines) => lines) {
  const server = createServer(async (socket) => {
    socket.on("error", () => undefined);
    let head = "";
    while (!head.includes("\r\n\r\n")) head += String((await once(socket, "data"))[0]);
    const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(head)[1];
    const accept = createHash("sha1").update(key + GUID).digest("base64");
    const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: keep-alive, Upgrade", `Sec-WebSocket-Accept: ${accept}`];
    socket.write(answer(lines).join("\r\n") + "\r\n\r\n");
    await talk(socket, head);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `ws://127.0.0.1:${server.address().port}/path?x=1`, close: () => server.close() };
}

function frame(opcode, payload, { fin = true, length = payload.length } = {}) {
  const head = length < 126 ? [length] : length < 65536 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((by) => (length >> by) & 255)];
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode, ...head]), Buffer.from(payload)]);
}

/** Read one frame of a client: it must be masked. */
function unmasked(data) {
  assert.ok(data[1] & 0x80, "a client's frames are masked");
  let length = data[1] & 0x7f;
  let at = 2;
  if (length === 126) [length, at] = [data.readUInt16BE(2), 4];
  else if (length === 127) [length, at] = [Number(data.readBigUInt64BE(2)), 10];
  const mask = data.subarray(at, at + 4);
  return { opcode: data[0] & 15, payload: Buffer.from(data.subarray(at + 4, at + 4 + length).map((byte, n) => byte ^ mask[n % 4])) };
}

function opened(url, protocols = []) {
  const socket = new MinimalWebSocket(url, protocols);
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(data);
  const open = new Promise((resolve) => (socket.onopen = resolve));
  const over = new Promise((resolve) => (socket.onclose = resolve));
  return { socket, heard, open, over };
}

test("messages of every length, in parts, with pings between them", async () => {
  const long = "ü".repeat(70_000);
  const server = await serving((socket) => {
    const bytes = Buffer.concat([
      frame(1, Buffer.from("short")), frame(1, Buffer.from("m".repeat(126))), frame(1, Buffer.from(long)),
      frame(1, Buffer.from("in "), { fin: false }), frame(9, Buffer.from("ping")), frame(0, Buffer.from("parts"), { fin: true }),
      frame(8, Buffer.from([3, 232])),
    ]);
    for (let at = 0; at < bytes.length; at += 1000) socket.write(bytes.subarray(at, at + 1000));
  });
  const { heard, over } = opened(server.url);
  assert.deepEqual(await over, { code: 1000, reason: "" });
  assert.deepEqual(heard, ["short", "m".repeat(126), long, "in parts"]);
  server.close();
});

test("what we send is masked, of every length, and pings are answered", async () => {
  const got = [];
  const texts = ["x", "y".repeat(126), "z".repeat(65_536)];
  const server = await serving(async (socket, head) => {
    assert.match(head, /^GET \/path\?x=1 HTTP\/1.1\r\n/);
    socket.write(frame(9, Buffer.from("are you there")));
    let data = Buffer.alloc(0);
    socket.on("data", (more) => {
      data = Buffer.concat([data, more]);
      while (data.length > 6) {
        const length = (data[1] & 127) === 126 ? data.readUInt16BE(2) + 8 : (data[1] & 127) === 127 ? Number(data.readBigUInt64BE(2)) + 14 : (data[1] & 127) + 6;
        if (data.length < length) return;
        const { opcode, payload } = unmasked(data);
        got.push([opcode, payload.toString()]);
        data = data.subarray(length);
        if (opcode === 8) socket.end(frame(8, Buffer.from([3, 232])));
      }
    });
  });
  const { socket, open, over } = opened(server.url);
  await open;
  texts.forEach((text) => socket.send(text));
  socket.close(1000, "bye");
  await over;
  assert.deepEqual(got.filter(([opcode]) => opcode === 1).map(([, text]) => text), texts);
  assert.deepEqual(got.find(([opcode]) => opcode === 10), [10, "are you there"]);
  assert.deepEqual(got.at(-1), [8, "\x03\xe8bye".replace("\xe8", "\ufffd")]);
  server.close();
});

for (const [name, bytes, code] of [
  ["a masked frame", Buffer.from([0x81, 0x81, 0, 0, 0, 0, 65]), 1002],
  ["reserved bits", Buffer.from([0xc1, 1, 65]), 1002],
  ["a part without a beginning", frame(0, Buffer.from("x")), 1002],
  ["a beginning inside a message", Buffer.concat([frame(1, Buffer.from("x"), { fin: false }), frame(1, Buffer.from("y"))]), 1002],
  ["a ping in parts", frame(9, Buffer.from("x"), { fin: false }), 1002],
  ["a long ping", frame(9, Buffer.alloc(126)), 1002],
  ["binary data", frame(2, Buffer.from("x")), 1003],
  ["text that is not UTF-8", frame(1, Buffer.from([0xff])), 1007],
  ["a message that is too long", Buffer.from([0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]), 1009],
  ["an unknown kind of frame", frame(11, Buffer.from("x")), 1002],
  ["a close frame of one byte", frame(8, Buffer.from([3])), 1002],
]) {
  test(`${name} ends the connection with ${code}`, async () => {
    let said;
    const server = await serving(async (socket) => {
      socket.write(bytes);
      said = unmasked((await once(socket, "data"))[0]);
      socket.end();
    });
    const { heard, over } = opened(server.url);
    assert.equal((await over).code, code);
    assert.deepEqual([said.opcode, said.payload.readUInt16BE(0)], [8, code]);
    assert.deepEqual(heard, []);
    server.close();
  });
}

for (const [name, spoil] of [
  ["another key's proof", (lines) => lines.map((line) => line.replace(/Accept: ./, "Accept: #"))],
  ["no upgrade", (lines) => lines.filter((line) => !line.startsWith("Upgrade"))],
  ["an extension nobody asked for", (lines) => [...lines, "Sec-WebSocket-Extensions: x"]],
  ["a subprotocol nobody asked for", (lines) => [...lines, "Sec-WebSocket-Protocol: x"]],
  ["a refusal", () => ["HTTP/1.1 401 Unauthorized", "Content-Length: 0"]],
]) {
  test(`${name} in the handshake is no connection`, async () => {
    const server = await serving(() => undefined, spoil);
    const { open, over } = opened(server.url, ["good"]);
    open.then(() => assert.fail("opened"));
    assert.equal((await over).code, 1006);
    server.close();
  });
}

test("nobody listens, and no such scheme", async () => {
  const server = await serving(() => undefined);
  server.close();
  assert.equal((await opened(server.url).over).code, 1006);
  assert.throws(() => new MinimalWebSocket("http://127.0.0.1/"), SyntaxError);
});

test("what is wrong with TLS is told", async () => {
  const server = createServer((socket) => socket.on("error", () => undefined).end("this is not TLS\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = new MinimalWebSocket(`wss://127.0.0.1:${server.address().port}/`);
  const { reason } = await new Promise((resolve) => (socket.onclose = resolve));
  assert.notEqual(reason, "");
  server.close();
});
