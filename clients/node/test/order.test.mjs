// What a phone says at the same moment is heard in its order, also where several messages arrive at once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Softphone } from "../dist/index.js";

const view = (state) => ({ id: "c_1", direction: "outgoing", state, remote: { uri: "sip:1001@h" }, end: null });
const ended = { v: 1, epoch: "e", seq: 9, id: "e-9", type: "call.ended", data: { call: view("ended") } };

/** A phone that answers each operation with these messages at once. */
class FakeSocket {
  says = {
    authenticate: (id) => [{ id, ok: true, result: {} }],
    ping: (id) => [{ id, ok: true, result: { as_of: "e-1" } }],
    subscribe: (id) => [{ id, ok: true, result: { after: "e-1" } }],
    snapshot: (id) => [{ id, ok: true, result: { calls: [], as_of: "e-1" } }],
    dial: (id) => [{ id, ok: true, result: { call: "c_1", operation: "op_1", value: null } }],
    get_call: (id) => [{ id, ok: true, result: { value: view("calling") } }, { event: ended }],
  };

  constructor() {
    setTimeout(() => this.onopen());
  }

  send(text) {
    const { id, op } = JSON.parse(text);
    setTimeout(() => this.says[op](id).forEach((message) => this.onmessage({ data: JSON.stringify(message) })));
  }

  close() {}
}

test("to hang up what the far end ended in this moment is no mistake", async () => {
  globalThis.WebSocket = class extends FakeSocket {
    says = {
      ...this.says,
      get_call: (id) => [{ id, ok: true, result: { value: view("active") } }],
      hangup: (id) => [{ id, ok: false, error: { code: "not-found", title: "gone", status: 404 } }, { event: ended }],
    };
  };
  const phone = await Softphone.connect({ url: "http://127.0.0.1:1", token: "t" });
  const call = await phone.dial("1001");
  assert.equal((await call.hangup()).state, "ended");
  await call.hangup();
  phone.close();
});

test("a call that ends with the very answer to dial has ended", async () => {
  globalThis.WebSocket = FakeSocket;
  const phone = await Softphone.connect({ url: "http://127.0.0.1:1", token: "t" });
  const call = await phone.dial("1001");
  assert.equal(call.state, "ended");
  await call.ended(1000);
  phone.close();
});
