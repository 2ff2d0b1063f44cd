// As much of Node.js as websocket.ts uses, so that the package is compiled with nothing but TypeScript.

declare module "node:net" {
  export interface Socket {
    write(data: Uint8Array | string): boolean;
    end(): void;
    destroy(): void;
    setNoDelay(on: boolean): void;
    setTimeout(ms: number, callback: () => void): void;
    on(event: "data", listener: (data: Uint8Array) => void): void;
    on(event: "close" | "connect" | "secureConnect", listener: () => void): void;
    on(event: "error", listener: (error: Error & { code?: string }) => void): void;
  }
  export function connect(options: { host: string; port: number }): Socket;
}

declare module "node:tls" {
  import type { Socket } from "node:net";
  export function connect(options: { host: string; port: number; servername?: string; ALPNProtocols?: string[] }): Socket;
}

declare module "node:crypto" {
  export function randomBytes(size: number): Uint8Array;
  export function createHash(name: "sha1"): { update(text: string): { digest(form: "base64"): string } };
}
