// offhook for Node.js: see README.md.

export { Call, Softphone } from "./softphone.js";
export type { CallEventType, Handler, LocalEventType } from "./softphone.js";
export type { ConnectOptions } from "./connection.js";
export * from "./errors.js";
export * from "./problems.js";
export type * from "./types.js";
