// One lasting connection to a phone: requests and their answers, events in their order, and the way back after a break.

import { Closed, ConnectionLost, OffhookError, Refused, TimedOut } from "./errors.js";
import { CLASSES } from "./problems.js";
import type { OperationName, Operations, PhoneEvent, Problem, StreamNote } from "./types.js";
import type { SocketLike } from "./websocket.js";

export interface ConnectOptions {
  /** Where the phone's HTTP port is: http://127.0.0.1:5080; with a path where a proxy has it below one. */
  url: string;
  /** A token: `offhook token create NAME`. */
  token: string;
  /** Which events to hear of ("call.*", "dtmf.received"); those about calls and operations always come. All of them without it. */
  types?: string[];
  /** Begin with the events after this one (an event's `id`) instead of those from now on. */
  after?: string;
  /** Come back after a break. Default: true. */
  reconnect?: boolean;
  /** Milliseconds for an answer, and for a connection. Default: 10 000. */
  timeout?: number;
}

export interface Listener {
  event(event: PhoneEvent): void;
  note(note: StreamNote): void;
  /** The connection broke (`true`: it will be tried again) or is there again. */
  lost(again: boolean): void;
  back(): Promise<void>;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

/** What the phone always has to tell us, so that calls and operations are known. */
const NEEDED = ["call.*", "transfer.*", "operation.*", "system.*"];

/** Milliseconds before the first and between later attempts to come back. */
const FIRST_DELAY = 50;
const LONGEST_DELAY = 5000;

/** Milliseconds between two questions whether the phone is still there. */
const PING_EVERY = 20_000;

/** Codes for which coming back is no use. */
const HOPELESS = new Set(["unauthenticated", "forbidden", "invalid-argument"]);

export class Connection {
  /** The id of the last event heard. */
  cursor: string;

  /** The phone's run that answers us: its events name it (`epoch`), and its operations end with it. */
  run = "";

  readonly #options: ConnectOptions;
  readonly #listener: Listener;
  readonly #timeout: number;
  readonly #waiting = new Map<number, Waiting>();
  #socket: SocketLike | null = null;
  #numbers = 0;
  #closed: Error | null = null;
  #open: Promise<void>;
  #pinger: ReturnType<typeof setInterval> | undefined;

  constructor(options: ConnectOptions, listener: Listener) {
    this.#options = options;
    this.#listener = listener;
    this.#timeout = options.timeout ?? 10_000;
    this.cursor = options.after ?? "";
    this.#open = Promise.resolve();
  }

  get isOpen(): boolean {
    return this.#socket !== null;
  }

  /** It is over, and will not come back. */
  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Connect for the first time. */
  async start(): Promise<void> {
    await this.#enter();
  }

  /** Ask the phone for something; while the connection is broken, wait for it (within the time for an answer). `within` is ms. */
  async request<Name extends OperationName>(
    op: Name,
    params: Operations[Name]["params"],
    within = this.#timeout,
  ): Promise<Operations[Name]["result"]> {
    if (this.#socket === null && this.#closed === null) await this.#within(this.#open);
    if (this.#closed !== null) throw this.#closed;
    if (this.#socket === null) throw new ConnectionLost();
    return this.#ask(this.#socket, op, params, within) as Promise<Operations[Name]["result"]>;
  }

  close(error: Error = new Closed()): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    clearInterval(this.#pinger);
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onclose = null;
      socket.onmessage = null;
      socket.close(1000);
    }
    this.#fail(error);
    this.#listener.lost(false);
  }

  // --- in and out

  /** Open a socket, say who we are, and ask for events from where we stopped. */
  async #enter(): Promise<void> {
    const socket = await this.#dial();
    try {
      await this.#ask(socket, "authenticate", { token: this.#options.token.trim() });
      const { as_of } = (await this.#ask(socket, "ping", {})) as Operations["ping"]["result"];
      this.run = as_of.slice(0, as_of.lastIndexOf("-"));
      const types = this.#options.types ? [...new Set([...this.#options.types, ...NEEDED])] : ["*"];
      const wanted = this.cursor ? { types, after: this.cursor } : { types };
      const answer = (await this.#ask(socket, "subscribe", wanted)) as Operations["subscribe"]["result"];
      this.cursor ||= answer.after;
    } catch (error) {
      socket.onclose = null;
      socket.close(1000);
      throw error;
    }
    if (this.#closed !== null) {
      socket.close(1000);
      throw this.#closed;
    }
    this.#socket = socket;
    socket.onclose = socket.onerror = () => this.#broken(socket);
    clearInterval(this.#pinger);
    this.#pinger = setInterval(() => this.#ping(socket), PING_EVERY);
    (this.#pinger as { unref?: () => void }).unref?.();
  }

  async #dial(): Promise<SocketLike> {
    const url = new URL(this.#options.url);
    url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/socket`; // a proxy may have the phone below a path
    url.search = url.hash = "";
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = await newSocket(url.href);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.onclose = null;
        socket.close();
        reject(new TimedOut("the phone does not answer"));
      }, this.#timeout);
      socket.onopen = () => {
        clearTimeout(timer);
        socket.onclose = socket.onerror = () => this.#fail(new ConnectionLost());
        resolve(socket);
      };
      // onclose should follow, with a reason; but not every platform's WebSocket lets it follow a connection that failed.
      socket.onerror = () => setTimeout(() => socket.onclose?.({ code: 1006, reason: "" }), 0);
      socket.onmessage = (message) => this.#heard(String(message.data));
      socket.onclose = (event) => {
        clearTimeout(timer);
        // Not every platform's WebSocket says why.
        const why = url.protocol === "wss:" ? "no phone listens there, or its certificate is not trusted" : "no phone listens there";
        reject(new ConnectionLost(event.reason ? `cannot connect: ${event.reason}` : why));
      };
    });
  }

  #broken(socket: SocketLike): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    clearInterval(this.#pinger);
    this.#fail(new ConnectionLost());
    if (this.#options.reconnect === false) {
      this.close(new ConnectionLost());
      return;
    }
    this.#listener.lost(true);
    this.#open = this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    for (let delay = FIRST_DELAY; this.#closed === null; delay = Math.min(delay * 2, LONGEST_DELAY)) {
      // Not all clients of a phone that comes back should come at the same moment.
      await new Promise((resolve) => setTimeout(resolve, delay * (0.5 + Math.random() / 2)));
      if (this.#closed !== null) return;
      try {
        await this.#enter();
      } catch (error) {
        if (error instanceof OffhookError && HOPELESS.has(error.code)) this.close(error);
        continue;
      }
      await this.#listener.back().catch(() => undefined); // it broke again: the next round tells
      return;
    }
  }

  #ping(socket: SocketLike): void {
    this.#ask(socket, "ping", {}).catch((error: unknown) => {
      if (!(error instanceof TimedOut)) return;
      socket.onclose = null;
      socket.close();
      this.#broken(socket);
    });
  }

  // --- requests

  #ask(socket: SocketLike, op: string, params: unknown, within = this.#timeout): Promise<unknown> {
    const id = (this.#numbers += 1);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new TimedOut(`no answer to ${op} within ${within} ms`));
      }, within);
      this.#waiting.set(id, { resolve, reject, timer });
      try {
        socket.send(JSON.stringify({ id, op, params }));
      } catch {
        this.#settle(id)?.reject(new ConnectionLost());
      }
    });
  }

  #settle(id: unknown): Waiting | undefined {
    const found = this.#waiting.get(id as number);
    if (found !== undefined) {
      this.#waiting.delete(id as number);
      clearTimeout(found.timer);
    }
    return found;
  }

  #fail(error: Error): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(error);
  }

  async #within(promise: Promise<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ConnectionLost("the phone has not come back yet")), this.#timeout);
    });
    try {
      await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #heard(text: string): void {
    const message = JSON.parse(text) as Message;
    if (message.event !== undefined) {
      this.#event(message.event);
      return;
    }
    const waiting = this.#settle(message.id);
    if (message.ok) waiting?.resolve(message.result);
    else waiting?.reject(errorFrom(message.error));
  }

  #event(event: PhoneEvent | StreamNote): void {
    if (!("id" in event)) {
      this.#listener.note(event);
      return;
    }
    this.cursor = event.id;
    this.#listener.event(event);
  }
}

interface Message {
  event?: PhoneEvent | StreamNote;
  id?: unknown;
  ok?: boolean;
  result?: unknown;
  error?: Problem;
}

function errorFrom(problem: Problem | undefined): Error {
  if (problem === undefined) return new OffhookError("malformed", "the phone gave no reason");
  return new (CLASSES[problem.code] ?? Refused)(problem);
}

/** Return a WebSocket of the platform, or ours where it has none (Node.js before 22). */
async function newSocket(url: string): Promise<SocketLike> {
  const platform = (globalThis as { WebSocket?: new (url: string, protocols: string[]) => unknown }).WebSocket;
  if (platform !== undefined) return new platform(url, ["offhook.v1"]) as SocketLike;
  const { MinimalWebSocket } = await import("./websocket.js");
  return new MinimalWebSocket(url, ["offhook.v1"]);
}
