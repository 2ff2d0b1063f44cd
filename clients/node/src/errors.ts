// What can go wrong. Every error has a `code` that does not change; what the phone refuses has a class of its own by code.

import type { FieldProblem, Problem } from "./types.js";

/** Anything this package throws on purpose. */
export class OffhookError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The phone refused a request; nothing has changed. `problem` is what it said (RFC 9457). */
export class Refused extends OffhookError {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.code, problem.detail || problem.title);
    this.problem = problem;
  }

  /** The fields that were wrong. */
  get errors(): FieldProblem[] {
    return this.problem.errors ?? [];
  }

  /** Seconds until it is worth trying again; 0 where waiting changes nothing. */
  get retryAfter(): number {
    return this.problem.retry_after ?? 0;
  }
}

/** What was begun did not work out: the far end was busy, declined, could not be reached … */
export class OperationError extends OffhookError {
  /** The far end's SIP status, 0 if it was not the far end. */
  readonly sipStatus: number;

  constructor(
    readonly operation: string,
    readonly reason: string,
    sipStatus: number,
  ) {
    super("operation-failed", reason || (sipStatus ? `SIP ${sipStatus}` : "it did not work"));
    this.sipStatus = sipStatus;
  }
}

/** The connection broke after the request had been sent: it may have been carried out, or not. */
export class ConnectionLost extends OffhookError {
  constructor(message = "the connection to the phone broke") {
    super("connection-lost", message);
  }
}

/** The connection was closed, by `close()` or because the phone does not let us in. */
export class Closed extends OffhookError {
  constructor(message = "the connection to the phone is closed") {
    super("closed", message);
  }
}

/** What was waited for did not come in time. */
export class TimedOut extends OffhookError {
  constructor(message: string) {
    super("timed-out", message);
  }
}

/** The call ended before what was waited for. */
export class CallOver extends OffhookError {
  constructor(message: string) {
    super("call-over", message);
  }
}

/** A loop over events was too slow: more than its limit were waiting. */
export class TooSlow extends OffhookError {
  constructor() {
    super("too-slow", "events were read too slowly, and some are lost");
  }
}
