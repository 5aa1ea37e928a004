import { readFileSync } from 'node:fs'

/*
 * Loaded into server processes by NODE_OPTIONS=--import: their wall clock (Date) is off by what a file says, `{"<port>": milliseconds}`.
 * Timers and performance.now() go on as before, as they do on a machine whose clock is set.
 */
const file = process.env['BATON_CHAOS_CLOCKS'] ?? ''
const port = process.env['PORT'] ?? ''
const RealDate = Date
let offset = 0

function look(): void {
  try {
    const offsets = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
    offset = offsets[port] ?? 0
  } catch {
    offset = 0 // no file yet, or in the middle of being written: the next look finds it
  }
}

const now = (): number => RealDate.now() + offset
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: unknown[], made) => Reflect.construct(target, args.length === 0 ? [now()] : args, made) as object,
  apply: () => new RealDate(now()).toString(),
  get: (target, name, self) => (name === 'now' ? now : (Reflect.get(target, name, self) as unknown)),
})
look()
setInterval(look, 50).unref()
