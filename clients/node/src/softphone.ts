// The phone and its calls, as a program sees them.

import { Connection, type ConnectOptions, type Listener } from "./connection.js";
import { CallOver, Closed, ConnectionLost, OperationError, TimedOut, TooSlow } from "./errors.js";
import { NotFound, Timeout } from "./problems.js";
import type {
  Accepted, AccountView, AnswerParams, AudioView, CallState, CallView, Condition, DeviceInfo, DialParams, Envelope, EventData, EventType,
  HangupParams, HistoryEntry, HistoryRequest, NoteType, OperationName, Operations, PhoneEvent, PlayParams, RecordParams, RecordingAnswer,
  RejectParams, SendDtmfParams, SendInfoParams, StatusView, StreamNote, WaitAnswer,
} from "./types.js";

/** The types of events that are about one call and carry it. */
export type CallEventType = { [T in EventType]: EventData[T] extends { call: CallView } ? T : never }[EventType];

export type LocalEventType = "connection.lost" | "connection.back" | "connection.closed";

// Not one type after another: a handler of several types gets an event of any of them.
export type Handler<T extends string> = [T] extends [CallEventType]
  ? (call: Call, event: Envelope<T>) => void
  : [T] extends [EventType]
    ? (event: Envelope<T>) => void
    : [T] extends [NoteType]
      ? (note: StreamNote<T>) => void
      : [T] extends [LocalEventType]
        ? () => void
        : [T] extends [`${string}.*` | "*"]
          ? (event: PhoneEvent) => void
          : never;

type AnyHandler = (...args: never[]) => void;

/** Events that may wait for a loop that reads them. */
const MOST_UNREAD = 10_000;

/** Outcomes that are remembered for whoever asks after they came. */
const MOST_OUTCOMES = 1000;

/** Ended calls whose objects are still found. */
const MOST_ENDED = 200;

/** Milliseconds beyond the time of a wait in which its answer has to come. */
const ANSWER_WITHIN = 10_000;

/** Milliseconds without an event after which a subscription is taken to have caught up. */
const QUIET = 500;

const STARTED_AGAIN = "the phone was started again before it told what became of this";

type Outcome = Envelope<"operation.succeeded"> | Envelope<"operation.failed">;

/** One phone. `await Softphone.connect({ url, token })`. */
export class Softphone implements Listener {
  readonly #connection: Connection;
  readonly #calls = new Map<string, Call>();
  readonly #handlers = new Map<string, Set<AnyHandler>>();
  /** By operation, whose id names its run: what was begun ends with that, told or not. */
  readonly #outcomes = new Map<string, Outcome>();
  readonly #awaited = new Map<string, { resolve(outcome: Outcome): void; reject(error: Error): void }[]>();
  /** The run of which everything before has been heard; of earlier runs nothing comes any more. */
  #run = "";

  private constructor(options: ConnectOptions) {
    this.#connection = new Connection(options, this);
  }

  /** Connect to a phone. Throws Unauthenticated for a token that is not known, ConnectionLost where no phone is. */
  static async connect(options: ConnectOptions): Promise<Softphone> {
    const phone = new Softphone(options);
    await phone.#connection.start();
    await phone.#look();
    return phone;
  }

  /** End the connection; the phone and its calls go on. */
  close(): void {
    this.#connection.close();
  }

  get connected(): boolean {
    return this.#connection.isOpen;
  }

  /** The id of the last event heard: `connect({ after })` goes on from there in another process. */
  get cursor(): string {
    return this.#connection.cursor;
  }

  // --- asking

  /** Ask for any operation by its name; the answer's `operation` names what still needs the far end. */
  request<Name extends OperationName>(op: Name, params: Operations[Name]["params"]): Promise<Operations[Name]["result"]> {
    return this.#connection.request(op, params);
  }

  /** Carry out a command and wait until the far end has done its part. Throws OperationError. */
  async perform<Name extends OperationName>(op: Name, params: Operations[Name]["params"]): Promise<Operations[Name]["result"]> {
    const answer = await this.request(op, params);
    const operation = (answer as Partial<Accepted>).operation;
    if (operation) await this.outcome(operation);
    return answer;
  }

  /** Wait for what becomes of an operation. Throws OperationError, ConnectionLost if the phone was killed before it told. */
  async outcome(operation: string): Promise<void> {
    const found = this.#outcomes.get(operation) ?? (await new Promise<Outcome>((resolve, reject) => {
      if (this.#connection.isClosed) throw new Closed();
      if (!isOfRun(operation, this.#run) && !isOfRun(operation, this.#connection.run)) throw new ConnectionLost(STARTED_AGAIN);
      const waiting = this.#awaited.get(operation) ?? [];
      waiting.push({ resolve, reject });
      this.#awaited.set(operation, waiting);
    }));
    if (found.type === "operation.failed") throw new OperationError(operation, found.data.reason, found.data.sip_status);
  }

  /**
   * Wait for the first of some conditions: { state: "active", call: call.id }, { registered: "" }, { operation }, or
   * { event: "dtmf.received", data: { digit: "#" } }. What is so already is an answer at once. A break of the connection changes
   * nothing: what happens meanwhile counts. With `after`, an event's id, so does what has happened since. `timeout` is milliseconds,
   * 30 000 without. Throws TimedOut, or what makes all of them impossible: InvalidState (the call is over), NotRegistered.
   */
  async wait(
    conditions: Condition | readonly Condition[],
    options: { timeout?: number; after?: string } = {},
  ): Promise<WaitAnswer> {
    const deadline = Date.now() + (options.timeout ?? 30_000);
    let after = options.after;
    for (;;) {
      try {
        after ??= (await this.request("ping", {})).as_of;
      } catch (error) {
        if (!(error instanceof ConnectionLost) || this.#connection.isClosed || Date.now() >= deadline) throw error;
        continue; // the next one waits for the connection
      }
      const left = Math.max(0, deadline - Date.now());
      const wanted = { conditions: [conditions].flat() as Condition[], timeout: left / 1000, after };
      try {
        return await this.#connection.request("wait", wanted, left + ANSWER_WITHIN);
      } catch (error) {
        if (error instanceof Timeout) throw new TimedOut(error.message);
        if (!(error instanceof ConnectionLost) || this.#connection.isClosed || left === 0) throw error;
      }
    }
  }

  /** Call somebody. The call exists at once: `await call.active()` waits for the answer. */
  async dial(to: string, options: Omit<DialParams, "to"> = {}): Promise<Call> {
    const { call } = await this.request("dial", { to, ...options });
    return this.#calls.get(call) ?? (await this.call(call));
  }

  /** The running calls, oldest first. */
  get calls(): Call[] {
    return [...this.#calls.values()].filter((call) => call.state !== "ended");
  }

  /** One call by its id, or by "active", "ringing", "last"; without a word the current one. Throws NotFound, AmbiguousCall. */
  async call(word = ""): Promise<Call> {
    // What is heard while we wait is newer than the answer, or as new.
    const before = this.cursor;
    const { value } = await this.request("get_call", { call: word });
    return this.#see(value, before);
  }

  async status(): Promise<StatusView> {
    return (await this.request("status", {})).value;
  }

  async audio(): Promise<AudioView> {
    return (await this.request("get_audio", {})).value;
  }

  /** Set the loudspeaker to 0-100. */
  async setVolume(volume: number): Promise<AudioView> {
    return (await this.request("set_volume", { volume })).value;
  }

  async devices(): Promise<DeviceInfo[]> {
    return (await this.request("list_devices", {})).value;
  }

  async accounts(): Promise<AccountView[]> {
    return (await this.request("list_accounts", {})).value;
  }

  /** Past calls, newest first; `wanted` says which: `{ missed: true, remote: "1001", tag: "order=4711" }`. */
  async history(limit = 50, before = "", wanted: Omit<HistoryRequest, "limit" | "before"> = {}): Promise<HistoryEntry[]> {
    return (await this.request("history", { ...wanted, limit, before })).entries;
  }

  /** Send a text; resolves when the far end's side has accepted it. */
  async sendMessage(to: string, text: string, account = ""): Promise<void> {
    await this.perform("send_message", { to, text, account });
  }

  /** End every call. */
  async hangupAll(): Promise<number> {
    return (await this.request("hangup_all", {})).value.ended;
  }

  // --- hearing

  /**
   * Call `handler` for events of a type ("call.incoming"), a family ("call.*") or all ("*"). Of events about a call it gets the
   * call and the event, else the event. Also "stream.gap", "connection.lost", "connection.back", "connection.closed". The
   * returned function ends that.
   */
  on<T extends CallEventType | EventType | NoteType | LocalEventType | `${string}.*` | "*">(type: T, handler: Handler<NoInfer<T>>): () => void {
    const found = this.#handlers.get(type) ?? new Set();
    found.add(handler as AnyHandler);
    this.#handlers.set(type, found);
    return () => found.delete(handler as AnyHandler);
  }

  /** Events one after another: `for await (const event of phone.events("call.*"))`. It begins at once, and ends with `close()`. */
  events<T extends EventType>(pattern: T): AsyncIterableIterator<Envelope<T>>;
  events(pattern?: string): AsyncIterableIterator<PhoneEvent>;
  events(pattern = "*"): AsyncIterableIterator<PhoneEvent> {
    return this.#stream((event) => matches(pattern, event.type));
  }

  /** @internal */
  eventsOf(id: string): EventStream {
    return this.#stream((event) => callIn(event)?.id === id);
  }

  #stream(wanted: (event: PhoneEvent) => boolean): EventStream {
    const stream = new EventStream(() => stop.forEach((end) => end()));
    const stop = [
      this.on<"*">("*", (event: PhoneEvent) => {
        if (wanted(event)) stream.push(event);
      }),
      this.on("connection.closed", () => stream.end()),
    ];
    return stream;
  }

  // --- what the connection tells (Listener)

  /** @internal */
  event(event: PhoneEvent): void {
    const view = callIn(event);
    const call = view === undefined ? undefined : this.#see(view, event.id);
    if (event.type === "operation.succeeded" || event.type === "operation.failed") this.#conclude(event as Outcome);
    for (const pattern of [event.type, `${event.type.split(".")[0]}.*`]) {
      if (call !== undefined && pattern === event.type) this.#tell(pattern, call, event);
      else this.#tell(pattern, event);
    }
    this.#tell("*", event);
    call?.happened(event);
  }

  /** @internal */
  note(note: StreamNote): void {
    this.#tell(note.type, note);
    if (note.type === "stream.gap") {
      this.#giveUpOutcomes(new ConnectionLost("events were lost, and with them what became of this"));
      this.#look().catch(() => undefined); // it broke again: the next connection looks again
    }
  }

  /** @internal */
  lost(again: boolean): void {
    if (again) {
      this.#tell("connection.lost");
      return;
    }
    this.#giveUpOutcomes(new Closed());
    for (const call of this.#calls.values()) call.abandoned();
    this.#tell("connection.closed");
  }

  /** @internal */
  async back(): Promise<void> {
    this.#tell("connection.back");
    await this.#look();
  }

  // --- inside

  /** See which calls there are. What ended unheard (the phone was killed) has no event of its own, nor has an operation. */
  async #look(): Promise<void> {
    const { calls, as_of } = await this.request("snapshot", {});
    await this.#caughtUp(as_of);
    this.#run = this.#connection.run;
    this.#giveUpOutcomes(new ConnectionLost(STARTED_AGAIN), this.#run);
    const running = new Set(calls.map((view) => view.id));
    for (const view of calls) this.#see(view, as_of);
    for (const call of this.#calls.values()) {
      if (!running.has(call.id)) call.vanished(as_of);
    }
  }

  /** Wait until the events up to this one have been heard, or, where only some types come, until none comes any more. */
  async #caughtUp(id: string): Promise<void> {
    let heard = "";
    while (this.connected && heard !== this.cursor && !isAtOrAfter(this.cursor, id)) {
      heard = this.cursor;
      const stop: (() => void)[] = [];
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, QUIET);
        stop.push(() => clearTimeout(timer), this.on<"*">("*", () => isAtOrAfter(this.cursor, id) && resolve()));
      });
      stop.forEach((end) => end());
    }
  }

  #see(view: CallView, id: string): Call {
    let call = this.#calls.get(view.id);
    if (call === undefined) {
      call = new Call(this, view, id);
      this.#calls.set(view.id, call);
      this.#forgetSome();
    } else {
      call.update(view, id);
    }
    return call;
  }

  #forgetSome(): void {
    const ended = [...this.#calls.values()].filter((call) => call.state === "ended");
    for (const call of ended.slice(0, Math.max(0, ended.length - MOST_ENDED))) this.#calls.delete(call.id);
  }

  #conclude(event: Outcome): void {
    const key = event.data.operation;
    this.#outcomes.set(key, event);
    if (this.#outcomes.size > MOST_OUTCOMES) this.#outcomes.delete(this.#outcomes.keys().next().value as string);
    const waiting = this.#awaited.get(key);
    this.#awaited.delete(key);
    waiting?.forEach(({ resolve }) => resolve(event));
  }

  /** Tell who waits for an outcome that none will come; not those of the run `except`. */
  #giveUpOutcomes(error: Error, except = ""): void {
    for (const [key, waiting] of [...this.#awaited]) {
      if (except && isOfRun(key, except)) continue;
      this.#awaited.delete(key);
      waiting.forEach(({ reject }) => reject(error));
    }
  }

  #tell(type: string, ...args: unknown[]): void {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        (handler as (...args: unknown[]) => void)(...args);
      } catch (error) {
        // One handler's mistake must not keep the others, nor the connection, from their work.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

interface Watcher {
  fits(call: Call, event: PhoneEvent | null): boolean;
  resolve(call: Call): void;
  reject(error: Error): void;
}

/** One call. Its properties are always those of the last event heard. */
export class Call {
  readonly id: string;
  readonly #phone: Softphone;
  readonly #watchers = new Set<Watcher>();
  #view: CallView;
  /** The event after which `#view` is true. */
  #asOf: string;

  /** @internal */
  constructor(phone: Softphone, view: CallView, asOf: string) {
    this.#asOf = asOf;
    this.#phone = phone;
    this.id = view.id;
    this.#view = view;
  }

  /** Everything that is known of it. */
  get view(): CallView {
    return this.#view;
  }

  get state(): CallState {
    return this.#view.state;
  }

  get direction(): CallView["direction"] {
    return this.#view.direction;
  }

  /** The other side's address. */
  get remote(): CallView["remote"] {
    return this.#view.remote;
  }

  /** The other side's number, to look it up: of the identity that the network vouches for, else of its address. */
  get number(): string {
    return this.remote.number;
  }

  /** How it ended; null while it runs. */
  get end(): CallView["end"] {
    return this.#view.end;
  }

  // --- waiting

  /** Wait until it is answered and nobody holds. Throws CallOver if it ends before, TimedOut after `timeout` milliseconds. */
  active(timeout = 0): Promise<this> {
    return this.until("active", timeout);
  }

  /** Wait until it is over. */
  ended(timeout = 0): Promise<this> {
    return this.until("ended", timeout);
  }

  /** Wait for a state ("held_local"; "ringing": also "early", if it rings), or for an event about it ("dtmf.received"). */
  async until(condition: CallState | CallEventType, timeout = 0): Promise<this> {
    if (this.#is(condition)) return this;
    if (this.state === "ended") throw this.#over(condition);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let watcher: Watcher | undefined;
    try {
      await new Promise<Call>((resolve, reject) => {
        watcher = { fits: (_call, event) => this.#is(condition) || event?.type === condition, resolve, reject };
        this.#watchers.add(watcher);
        if (timeout) timer = setTimeout(() => reject(new TimedOut(`call ${this.id} was not ${condition} in time`)), timeout);
      });
    } finally {
      clearTimeout(timer);
      if (watcher !== undefined) this.#watchers.delete(watcher);
    }
    return this;
  }

  #is(condition: CallState | CallEventType): boolean {
    if (condition === "ringing" && this.state === "early") return this.#view.ringing !== null;
    return this.state === condition;
  }

  /** Events about this call, one after another; the loop ends with the call. */
  async *events(): AsyncIterableIterator<PhoneEvent> {
    if (this.state === "ended") return;
    const stream = this.#phone.eventsOf(this.id);
    // A call that ended unheard (the phone was killed) has no call.ended.
    const end = () => stream.end();
    const watcher = { fits: (call: Call) => call.state === "ended", resolve: end, reject: end };
    this.#watchers.add(watcher);
    try {
      for await (const event of stream) {
        yield event;
        if (event.type === "call.ended") return;
      }
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  // --- doing; what needs the far end resolves when it has done its part, or throws OperationError

  async answer(options: Omit<AnswerParams, "call"> = {}): Promise<this> {
    await this.#phone.perform("answer", { ...options, call: this.id });
    return this.state === "active" ? this : this.active();
  }

  async reject(status = 0, options: Omit<RejectParams, "call" | "status"> = {}): Promise<void> {
    await this.#phone.perform("reject", { ...options, call: this.id, status });
  }

  async redirect(to: string): Promise<void> {
    await this.#phone.perform("redirect", { call: this.id, to });
  }

  /** End it, in whatever state; harmless when it is over. */
  async hangup(options: Omit<HangupParams, "call"> = {}): Promise<this> {
    if (this.state === "ended") return this;
    try {
      await this.#phone.perform("hangup", { ...options, call: this.id });
    } catch (error) {
      if (!(error instanceof NotFound)) throw error; // it ended a moment ago, and the event of that is under way
    }
    return this.ended();
  }

  async hold(): Promise<void> {
    await this.#phone.perform("hold", { call: this.id });
  }

  async resume(): Promise<void> {
    await this.#phone.perform("resume", { call: this.id });
  }

  /** Go on with other codecs, offered in this order; resolves when the far end has answered. */
  async setCodecs(codecs: string[]): Promise<void> {
    await this.#phone.perform("set_codecs", { call: this.id, codecs });
  }

  /** Keep words of your own with the call, also after its end; an empty value takes one away, those not named stay. */
  async tag(tags: Record<string, string>): Promise<void> {
    await this.#phone.perform("tag_call", { call: this.id, tags });
  }

  async mute(): Promise<void> {
    await this.#phone.perform("mute", { call: this.id });
  }

  async unmute(): Promise<void> {
    await this.#phone.perform("unmute", { call: this.id });
  }

  /** Send digits; resolves when all have gone out. */
  async dtmf(digits: string, options: Omit<SendDtmfParams, "digits" | "call"> = {}): Promise<void> {
    await this.#phone.perform("send_dtmf", { ...options, call: this.id, digits });
  }

  /** Hand the call over; resolves when the target has answered. */
  async transfer(to: string): Promise<void> {
    await this.#phone.perform("transfer", { call: this.id, to });
  }

  async info(body: string, options: Omit<SendInfoParams, "body" | "call"> = {}): Promise<void> {
    await this.#phone.perform("send_info", { ...options, call: this.id, body });
  }

  /** Play into the call; resolves when it has played to its end. */
  async play(options: Omit<PlayParams, "call">): Promise<void> {
    await this.#phone.perform("play", { ...options, call: this.id });
  }

  async stopPlay(): Promise<void> {
    await this.#phone.perform("stop_play", { call: this.id });
  }

  /** Record the call; the answer names the file on the phone's machine. */
  async record(options: Omit<RecordParams, "call"> = {}): Promise<RecordingAnswer> {
    return (await this.#phone.perform("record", { ...options, call: this.id })).value;
  }

  async stopRecord(): Promise<RecordingAnswer> {
    return (await this.#phone.perform("stop_record", { call: this.id })).value;
  }

  // --- what the phone tells

  /** @internal */
  update(view: CallView, asOf: string): void {
    // An answer may be older than the last event.
    if (isAfter(this.#asOf, asOf)) return;
    this.#view = view;
    this.#asOf = asOf;
  }

  /** @internal */
  happened(event: PhoneEvent): void {
    this.#wake(event);
  }

  /** @internal It is not there any more, and nobody said how it ended. */
  vanished(asOf: string): void {
    if (this.state === "ended" || isAfter(this.#asOf, asOf)) return;
    const end = { by: "network" as const, sip_status: 0, reason: "the phone was started again", q850: 0, cause: 0 };
    this.#view = { ...this.#view, state: "ended", end };
    this.#wake(null);
  }

  /** @internal */
  abandoned(): void {
    for (const watcher of this.#watchers) watcher.reject(new Closed());
  }

  #wake(event: PhoneEvent | null): void {
    for (const watcher of [...this.#watchers]) {
      if (watcher.fits(this, event)) watcher.resolve(this);
      else if (this.state === "ended") watcher.reject(this.#over("what was waited for"));
    }
  }

  #over(condition: string): CallOver {
    const end = this.end;
    const why = end === null ? "" : `: ${[end.by, end.sip_status || "", end.reason].filter(Boolean).join(" ")}`;
    return new CallOver(`call ${this.id} ended before ${condition}${why}`);
  }
}

/** Events that wait for a loop. */
class EventStream implements AsyncIterableIterator<PhoneEvent> {
  readonly #unread: PhoneEvent[] = [];
  readonly #stop: () => void;
  #next: { resolve(result: IteratorResult<PhoneEvent>): void; reject(error: Error): void } | null = null;
  #over = false;
  #error: Error | null = null;

  constructor(stop: () => void) {
    this.#stop = stop;
  }

  push(event: PhoneEvent): void {
    if (this.#over) return;
    const next = this.#next;
    if (next !== null) {
      this.#next = null;
      next.resolve({ value: event, done: false });
    } else if (this.#unread.length >= MOST_UNREAD) {
      this.#error = new TooSlow();
      this.end();
    } else {
      this.#unread.push(event);
    }
  }

  end(): void {
    this.#over = true;
    this.#stop();
    this.#next?.resolve({ value: undefined, done: true });
    this.#next = null;
  }

  next(): Promise<IteratorResult<PhoneEvent>> {
    const event = this.#unread.shift();
    if (event !== undefined) return Promise.resolve({ value: event, done: false });
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#next = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<PhoneEvent>> {
    this.#unread.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Whether an operation was begun by this run of the phone: its id is `op_RUN-NUMBER`. */
function isOfRun(operation: string, run: string): boolean {
  return operation.startsWith(`op_${run}-`);
}

/** Whether event `a` came after event `b`; false for events of different runs. */
function isAfter(a: string, b: string): boolean {
  const [epoch, number] = placeOf(a);
  const [other, than] = placeOf(b);
  return epoch === other && number > than;
}

function isAtOrAfter(a: string, b: string): boolean {
  return a === b || isAfter(a, b);
}

function placeOf(id: string): [string, number] {
  const dash = id.lastIndexOf("-");
  return [id.slice(0, dash), Number(id.slice(dash + 1))];
}

function callIn(event: PhoneEvent): CallView | undefined {
  const call = (event.data as { call?: unknown }).call;
  return typeof call === "object" && call !== null ? (call as CallView) : undefined;
}

function matches(pattern: string, type: string): boolean {
  return pattern === "*" || pattern === type || (pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1)));
}
