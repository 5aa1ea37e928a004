/* Packages that bring no types: as much of them as the tests use. */

declare module 'jsdom' {
  export class JSDOM {
    constructor(html: string, options?: { url?: string })
    readonly window: Window & typeof globalThis
  }
}

declare module 'react-dom/client' {
  import type { ReactNode } from 'react'

  export function createRoot(element: Element): { render(node: ReactNode): void; unmount(): void }
}
