// A small WebSocket client (RFC 6455) for Node.js versions without one of their own: text messages, pings, closing. No extensions.

import { createHash, randomBytes } from "node:crypto";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What of a WebSocket this package uses; the platform's own fits too. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Longest message in bytes: a snapshot of a thousand calls is far below. */
const MAX_MESSAGE = 16 * 1024 * 1024;

/** Longest answer to the handshake in bytes. */
const MAX_HEAD = 16 * 1024;

/** Milliseconds for the handshake, and for the other side to answer a close. */
const PATIENCE = 10_000;

// RFC 6455 1.3
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

// RFC 6455 5.2
const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

// RFC 6455 7.4.1
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const NOT_UTF8 = 1007;
const TOO_BIG = 1009;

const encoder = new TextEncoder();

/** Thrown inside for what breaks the protocol; `code` is what the close frame says. */
class Broken extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

interface Frame {
  fin: boolean;
  opcode: number;
  payload: Uint8Array;
}

type State = "connecting" | "open" | "closing" | "closed";

export class MinimalWebSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  /** The subprotocol the server chose. */
  protocol = "";

  readonly #socket: Socket;
  readonly #key = base64(randomBytes(16));
  readonly #offered: string[];
  #state: State = "connecting";
  #buffer = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  #partsLength = 0;
  #inMessage = false;
  /** The other side broke the protocol: what else it says means nothing. */
  #isDeaf = false;
  #ending: { code: number; reason: string } = { code: ABNORMAL, reason: "" };
  #timer: ReturnType<typeof setTimeout>;

  constructor(url: string, protocols: string[] = []) {
    const target = new URL(url);
    const secure = target.protocol === "wss:";
    if (!secure && target.protocol !== "ws:") throw new SyntaxError(`a WebSocket's address begins with ws: or wss:, not ${target.protocol}`);
    this.#offered = protocols;
    const host = target.hostname.replace(/^\[|\]$/g, "");
    const port = Number(target.port || (secure ? 443 : 80));
    const names = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
    this.#socket = secure ? connectTls({ host, port, ...names, ALPNProtocols: ["http/1.1"] }) : connectPlain({ host, port });
    this.#timer = setTimeout(() => this.#socket.destroy(), PATIENCE);
    this.#socket.on(secure ? "secureConnect" : "connect", () => this.#greet(target));
    this.#socket.on("data", (data) => this.#take(data));
    this.#socket.on("error", (error) => {
      // "close" follows, and is what we tell.
      if (this.#state === "connecting" && error.code !== "ECONNREFUSED") this.#ending.reason = error.message;
    });
    this.#socket.on("close", () => this.#closed());
  }

  send(text: string): void {
    if (this.#state !== "open") throw new Error("the WebSocket is not open");
    this.#write(TEXT, encoder.encode(text));
  }

  close(code: number = NORMAL, reason = ""): void {
    if (this.#state === "connecting") this.#socket.destroy();
    if (this.#state === "open") this.#sayGoodbye(code, reason);
  }

  // --- the handshake

  #greet(target: URL): void {
    this.#socket.setNoDelay(true);
    const lines = [
      `GET ${target.pathname}${target.search} HTTP/1.1`,
      `Host: ${target.host}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${this.#key}`,
      "Sec-WebSocket-Version: 13",
    ];
    if (this.#offered.length) lines.push(`Sec-WebSocket-Protocol: ${this.#offered.join(", ")}`);
    this.#socket.write(lines.join("\r\n") + "\r\n\r\n");
  }

  #readHead(): boolean {
    const end = indexOfBlankLine(this.#buffer);
    if (end < 0) {
      if (this.#buffer.length > MAX_HEAD) this.#socket.destroy();
      return false;
    }
    const [status = "", ...lines] = new TextDecoder("latin1").decode(this.#buffer.subarray(0, end)).split("\r\n");
    this.#buffer = this.#buffer.slice(end + 4);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    this.protocol = headers.get("sec-websocket-protocol") ?? "";
    // RFC 6455 4.1: what a client must check of the answer.
    const good =
      /^HTTP\/1\.1 101 /.test(status + " ") &&
      headers.get("upgrade")?.toLowerCase() === "websocket" &&
      (headers.get("connection") ?? "").toLowerCase().split(/\s*,\s*/).includes("upgrade") &&
      headers.get("sec-websocket-accept") === createHash("sha1").update(this.#key + GUID).digest("base64") &&
      !headers.has("sec-websocket-extensions") &&
      (this.protocol === "" || this.#offered.includes(this.protocol));
    if (!good) {
      this.#ending.reason = status.startsWith("HTTP/") ? status : "this is not a WebSocket";
      this.#socket.destroy();
      return false;
    }
    clearTimeout(this.#timer);
    this.#state = "open";
    this.onopen?.(undefined as never);
    return true;
  }

  // --- frames in

  #take(data: Uint8Array): void {
    if (this.#isDeaf) return;
    this.#buffer = joined([this.#buffer, data]);
    if (this.#state === "connecting" && !this.#readHead()) return;
    try {
      for (let frame = this.#nextFrame(); frame !== null; frame = this.#nextFrame()) {
        this.#handle(frame);
        if (this.#state === "closed") return;
      }
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.#isDeaf = true;
      this.#ending = { code: error.code, reason: error.message };
      this.#sayGoodbye(error.code, error.message);
      this.#socket.end();
    }
  }

  #nextFrame(): Frame | null {
    const buffer = this.#buffer;
    if (buffer.length < 2) return null;
    const [first, second] = buffer as unknown as [number, number];
    // RFC 6455 5.2: reserved bits belong to extensions; 5.1: a server must not mask.
    if (first & 0x70) throw new Broken(PROTOCOL_ERROR, "reserved bits are set");
    if (second & 0x80) throw new Broken(PROTOCOL_ERROR, "a masked frame from a server");
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    let length = second & 0x7f;
    let start = 2;
    if (length >= 126) {
      start = length === 126 ? 4 : 10;
      if (buffer.length < start) return null;
      length = length === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
    }
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    // RFC 6455 5.5: control frames are short and whole.
    if (opcode >= CLOSE && (length > 125 || !fin)) throw new Broken(PROTOCOL_ERROR, "a control frame that is long or in parts");
    if (length + this.#partsLength > MAX_MESSAGE) throw new Broken(TOO_BIG, "a message that is too long");
    if (buffer.length < start + length) return null;
    this.#buffer = buffer.slice(start + length);
    return { fin, opcode, payload: buffer.slice(start, start + length) };
  }

  #handle(frame: Frame): void {
    switch (frame.opcode) {
      case TEXT:
      case CONTINUATION:
        this.#collect(frame);
        break;
      case PING:
        if (this.#state === "open") this.#write(PONG, frame.payload);
        break;
      case PONG:
        break;
      case CLOSE:
        this.#farewell(frame.payload);
        break;
      case BINARY:
        throw new Broken(1003, "binary data is not expected");
      default:
        throw new Broken(PROTOCOL_ERROR, "an unknown kind of frame");
    }
  }

  #collect(frame: Frame): void {
    // RFC 6455 5.4: the parts of a message follow each other, the first says what it is.
    if (this.#inMessage !== (frame.opcode === CONTINUATION)) throw new Broken(PROTOCOL_ERROR, "the parts of a message are mixed up");
    this.#parts.push(frame.payload);
    this.#partsLength += frame.payload.length;
    this.#inMessage = !frame.fin;
    if (!frame.fin) return;
    const whole = joined(this.#parts);
    this.#parts = [];
    this.#partsLength = 0;
    const text = decoded(whole);
    if (this.#state === "open") this.onmessage?.({ data: text });
  }

  #farewell(payload: Uint8Array): void {
    if (payload.length === 1) throw new Broken(PROTOCOL_ERROR, "a close frame of one byte");
    const code = payload.length >= 2 ? ((payload[0] ?? 0) << 8) | (payload[1] ?? 0) : NO_STATUS;
    this.#ending = { code, reason: decoded(payload.slice(2)) };
    if (this.#state === "open") this.#sayGoodbye(code === NO_STATUS ? NORMAL : code, "");
    this.#socket.end();
  }

  // --- frames out

  #sayGoodbye(code: number, reason: string): void {
    if (this.#state !== "open") return;
    const text = encoder.encode(reason).slice(0, 123);
    this.#write(CLOSE, joined([new Uint8Array([code >> 8, code & 0xff]), text]));
    this.#state = "closing";
    this.#timer = setTimeout(() => this.#socket.destroy(), PATIENCE);
  }

  #write(opcode: number, payload: Uint8Array): void {
    const length = payload.length;
    const extra = length < 126 ? 0 : length < 65536 ? 2 : 8;
    const frame = new Uint8Array(2 + extra + 4 + length);
    const view = new DataView(frame.buffer);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (extra === 0 ? length : extra === 2 ? 126 : 127);
    if (extra === 2) view.setUint16(2, length);
    if (extra === 8) view.setBigUint64(2, BigInt(length));
    // RFC 6455 5.3: what a client sends is masked, each frame with a fresh key.
    const mask = randomBytes(4);
    frame.set(mask, 2 + extra);
    for (let at = 0; at < length; at += 1) frame[6 + extra + at] = (payload[at] ?? 0) ^ (mask[at & 3] ?? 0);
    this.#socket.write(frame);
  }

  #closed(): void {
    clearTimeout(this.#timer);
    const before = this.#state;
    this.#state = "closed";
    if (before === "connecting") this.onerror?.(undefined as never);
    if (before !== "closed") this.onclose?.(this.#ending);
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Broken(NOT_UTF8, "text that is not UTF-8");
  }
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function indexOfBlankLine(bytes: Uint8Array): number {
  for (let at = 0; at + 3 < bytes.length; at += 1) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
