// What the tests use of Node.js.

declare module "node:test" {
  export function test(name: string, body: (context: any) => void | Promise<void>): Promise<void>;
  export function beforeEach(body: () => void): void;
  export const mock: any;
}

declare module "node:assert/strict" {
  const assert: any;
  export default assert;
}
