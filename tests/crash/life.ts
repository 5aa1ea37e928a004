import { AsyncLocalStorage } from 'node:async_hooks'
import type { Services } from '#lib/services'
import { handlerOf } from '#tests/crash/routes'
import { Broken } from '#tests/crash/stage'

/** Where a process dies: before or after its n-th outward call of that name, counted over all processes of a scenario. */
export interface Point {
  at: 'before' | 'after'
  /** Name of an SQL function, or redis, inngest, response, piece (of a stream), model, answer (of the model), tool. */
  call: string
  nth: number
}

/** A death that is to come, or has been: `life` died of it. */
export interface Death {
  readonly point: Point
  life: Life | null
}

/** What the lives of one scenario share: where they die, what is held back, and which outward calls they have made so far. */
export interface Fate {
  deaths: readonly Death[]
  /** Calls of these names are made when their gate opens. */
  gates: Map<string, Promise<void>>
  /** Names of the calls, in their order. */
  calls: string[]
  /** Calls under way: the database may show what one did before the life that made it has heard of it, and died of it. */
  flying: Set<Promise<unknown>>
  onDeath: (life: Life) => void
}

/**
 * A process of the server in this one: composed by lib/baton like any other, and all that it says to the outside passes here. From its death
 * on nothing of it comes out or in, and no promise of the outside ever settles for it: that is all that a killed process does, seen from without.
 */
export interface Life {
  readonly fate: Fate
  services: Services
  /** What globalThis.batonServices is within this life. */
  composed: Promise<Services> | undefined
  dead: boolean
  /** Ids in what it said to the database: its slices, the deliveries it took. */
  said: Set<string>
  readonly end: AbortController
}

const here = new AsyncLocalStorage<Life>()
const never = <Value>(): Promise<Value> => new Promise(() => undefined)

/** Where the parts stand, for the names of calls. */
export interface Parts {
  supabaseUrl: string
  redisUrl: string
  inngestUrl: string
}

/** The name of an outward call; null for what is no part of the work (counts told of for metrics) and for the stream of Redis, which waits. */
function nameOf(url: string, parts: Parts): string | null {
  if (url.startsWith(parts.redisUrl)) return url.includes('/subscribe') ? null : 'redis'
  if (url.startsWith(parts.inngestUrl)) return 'inngest'
  const name = /\/rest\/v1\/rpc\/(\w+)/.exec(url)?.[1] ?? 'http'
  return name === 'baton_add_metrics' ? null : name
}

/** Notes a call and says its number among those of its name. */
function count({ calls }: Fate, call: string): number {
  calls.push(call)
  return calls.filter((name) => name === call).length
}

/** Ends the life if this is where it dies; true when it is dead. */
function dying(life: Life, at: Point['at'], call: string, nth: number): boolean {
  if (life.dead) return true
  const isHere = ({ life: died, point }: Death): boolean => died === null && point.at === at && point.call === call && point.nth === nth
  const death = life.fate.deaths.find(isHere)
  if (death === undefined) return false
  life.dead = true
  death.life = life
  life.end.abort(new Broken('the process died'))
  life.fate.onDeath(life)
  return true
}

/** Makes the call; null where the life does not outlive it. */
async function heard<Result>(life: Life, call: string, nth: number, work: () => Promise<Result>): Promise<{ result: Result } | null> {
  try {
    const result = await work()
    return dying(life, 'after', call, nth) ? null : { result }
  } catch (error) {
    if (life.dead) return null
    throw error
  }
}

/** One outward call of a life. */
async function outward<Result>(life: Life, call: string, work: () => Promise<Result>): Promise<Result> {
  if (life.dead) return never()
  const { flying, gates } = life.fate
  const nth = count(life.fate, call)
  await gates.get(call)
  if (dying(life, 'before', call, nth)) return never()
  const flight = heard(life, call, nth, work)
  flying.add(flight)
  const answer = await flight.finally(() => flying.delete(flight))
  return answer === null ? never() : answer.result
}

/** Takes over what a process shares with the outside: fetch, and the place where lib/baton keeps its services. Once in a Node process, before anything of lib is loaded. */
export function interceptOutwardCalls(parts: Parts): void {
  const real = globalThis.fetch
  globalThis.fetch = (input, init) => {
    const life = here.getStore()
    if (life === undefined) return real(input, init)
    const url = input instanceof Request ? input.url : String(input)
    const given = init?.signal ?? (input instanceof Request ? input.signal : null)
    const signal = given == null ? life.end.signal : AbortSignal.any([given, life.end.signal])
    const call = nameOf(url, parts)
    if (call === null)
      return life.dead ? never() : real(input, { ...init, signal }).catch((error: unknown) => (life.dead ? never() : Promise.reject(error)))
    if (call.startsWith('baton_') && typeof init?.body === 'string')
      for (const [id] of init.body.matchAll(/\b(?:slice|dlv)_[0-9a-f]{20,}/g)) life.said.add(id)
    return outward(life, call, () => real(input, { ...init, signal }))
  }
  // What they log at the level of errors is the reader's; the rest would bury the report.
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream)
    stream.write = ((...all: Parameters<typeof write>) => (here.getStore() === undefined ? write(...all) : true)) as typeof write
  }
  Object.defineProperty(globalThis, 'batonServices', {
    configurable: true,
    get: () => here.getStore()?.composed,
    set(composed: Promise<Services> | undefined) {
      const life = here.getStore()
      if (life === undefined) throw new Error('services outside of every life')
      life.composed = composed
    },
  })
}

/** A process begins: services of its own, as lib/baton composes them from the environment. */
export async function begin(fate: Fate): Promise<Life> {
  const life = { fate, composed: undefined, dead: false, said: new Set(), end: new AbortController() } as unknown as Life
  const { baton } = await import('#lib/baton')
  life.services = await here.run(life, baton)
  const { onEffect, model } = life.services
  life.services.onEffect = async (record) => {
    if (life.dead) return never()
    await onEffect(record)
    const nth = count(life.fate, record.kind)
    await life.fate.gates.get(record.kind)
    // The effects log has it: it was begun, and nobody will know its outcome.
    if (dying(life, 'before', record.kind, nth)) return never()
  }
  // Its text has been streamed, and nobody has the whole answer yet.
  life.services.model = {
    estimate: (request) => model.estimate(request),
    async call(...asked) {
      const answer = await model.call(...asked)
      return outward(life, 'answer', async () => answer)
    },
  }
  return life
}

/** Does something as the process would. */
export function within<Result>(life: Life, work: () => Result): Result {
  return here.run(life, work)
}

/** A request to the process, answered whole or, where it is a stream, piece by piece. Rejects with Broken when it dies before the answer is out; a stream breaks with it. */
export async function ask(life: Life, request: Request): Promise<Response> {
  if (life.dead) throw new Broken('nobody listens')
  const broken = Promise.withResolvers<never>()
  const onEnd = (): void => broken.reject(life.end.signal.reason)
  life.end.signal.addEventListener('abort', onEnd, { once: true })
  const answered = here.run(life, async () => {
    const handler = await handlerOf(request)
    const response = await handler(request, { params: Promise.resolve({}) })
    if (response.body !== null && response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
      const { status, headers, body } = response
      return outward(life, 'response', async () => new Response(piecewise(life, body), { status, headers }))
    }
    const text = await response.text()
    return outward(
      life,
      'response',
      async () => new Response(response.status === 204 ? null : text, { status: response.status, headers: response.headers }),
    )
  })
  try {
    return await Promise.race([answered, broken.promise])
  } finally {
    life.end.signal.removeEventListener('abort', onEnd)
  }
}

/** The pieces of a stream as they leave the process: each is an outward call, and what has left has arrived. */
function piecewise(life: Life, body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const from = body.getReader()
  const cut = (): void => void from.cancel().catch(() => undefined) // it had broken by itself
  return new ReadableStream<Uint8Array>(
    {
      start: (to) =>
        life.end.signal.addEventListener(
          'abort',
          () => {
            cut()
            to.error(life.end.signal.reason)
          },
          { once: true },
        ),
      async pull(to) {
        const piece = await from.read()
        if (piece.done) return life.dead ? undefined : to.close()
        await outward(life, 'piece', async () => to.enqueue(piece.value))
      },
      cancel: cut,
    },
    // Nothing is read ahead: a piece leaves when somebody waits for it.
    { highWaterMark: 0 },
  )
}

/** Waits for what the process does beside its requests, and ends its connections. */
export async function close(life: Life): Promise<void> {
  life.end.abort(new Broken('the process has ended'))
  life.dead = true
  await Promise.race([life.services.live.close(), new Promise((resolve) => setTimeout(resolve, 100))])
}
