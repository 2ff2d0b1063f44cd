// What a phone says at the same moment is heard in its order, also where several messages arrive at once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Closed, ConnectionLost, Softphone } from "../dist/index.js";

const view = (state) => ({ id: "c_1", direction: "outgoing", state, remote: { uri: "sip:1001@h" }, end: null });
const ended = { v: 1, epoch: "e", seq: 9, id: "e-9", type: "call.ended", data: { call: view("ended") } };

/** A phone that answers each operation with these messages at once. */
class FakeSocket {
  says = {
    authenticate: (id) => [{ id, ok: true, result: {} }],
    ping: (id) => [{ id, ok: true, result: { as_of: "e-1" } }],
    subscribe: (id) => [{ id, ok: true, result: { after: "e-1" } }],
    snapshot: (id) => [{ id, ok: true, result: { calls: [], as_of: "e-1" } }],
    dial: (id) => [{ id, ok: true, result: { call: "c_1", operation: "op_e-1", value: null } }],
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

test("the number of the other side is what the phone says it is", async () => {
  globalThis.WebSocket = class extends FakeSocket {
    says = { ...this.says, get_call: (id) => [{ id, ok: true, result: { value: { ...view("active"), remote: { uri: "sip:+4930;npdi@h", number: "+4930" } } } }] };
  };
  const phone = await Softphone.connect({ url: "http://127.0.0.1:1", token: "t" });
  assert.equal((await phone.dial("1001")).number, "+4930");
  phone.close();
});

test("a token is taken as it stands in its file", async () => {
  let shown;
  globalThis.WebSocket = class extends FakeSocket {
    send(text) {
      shown ??= JSON.parse(text).params.token;
      super.send(text);
    }
  };
  (await Softphone.connect({ url: "http://127.0.0.1:1", token: "secret\n" })).close();
  assert.equal(shown, "secret");
});

test("a call that ends with the very answer to dial has ended", async () => {
  globalThis.WebSocket = FakeSocket;
  const phone = await Softphone.connect({ url: "http://127.0.0.1:1", token: "t" });
  const call = await phone.dial("1001");
  assert.equal(call.state, "ended");
  await call.ended(1000);
  phone.close();
});

test("an operation of an earlier run of the phone is over, and so is any after the end", { timeout: 5000 }, async () => {
  const said = { v: 1, epoch: "d", seq: 3, id: "d-3", type: "operation.succeeded", data: { operation: "op_d-1" } };
  globalThis.WebSocket = class extends FakeSocket {
    says = { ...this.says, subscribe: (id) => [{ id, ok: true, result: { after: "d-2" } }, { event: said }] };
  };
  const phone = await Softphone.connect({ url: "http://127.0.0.1:1", token: "t", after: "d-2" });
  await phone.outcome("op_d-1");
  await assert.rejects(phone.outcome("op_d-2"), ConnectionLost);
  const running = phone.outcome("op_e-1");
  phone.close();
  await assert.rejects(running, Closed);
  await assert.rejects(phone.outcome("op_e-1"), Closed);
});

test("a phone may be below a path", async () => {
  const opened = [];
  globalThis.WebSocket = class extends FakeSocket {
    constructor(url) {
      super();
      opened.push(url);
    }
  };
  for (const url of ["http://127.0.0.1:1", "https://example.org/desk/7/?a=b#c"]) (await Softphone.connect({ url, token: "t" })).close();
  assert.deepEqual(opened, ["ws://127.0.0.1:1/v1/socket", "wss://example.org/desk/7/v1/socket"]);
});
