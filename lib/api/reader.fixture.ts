import { expect } from 'vitest'
import type { RunId } from '#lib/core/ids'
import type { StoredEvent } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'
import type { OutFrame } from '#lib/api/reader'

export const agentUid = '0193a2f0-0000-7000-8000-00000000000a'

/** 0 <= n < 1 from a seed, so that a failing interleaving can be played again (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The text the executor of an epoch says in an attempt: all begin alike, so that a mix-up is not always seen at once. */
const sentence = (epoch: number, step: number, attempt: number, kind: string): string =>
  `${kind}: the answer to step ${step} is ${epoch * 31 + attempt * 7} and so on`

interface Executor {
  epoch: number
  afterSeq: number
  step: number
  attempt: number
  said: { text: number; reasoning: number }
  /** Its frames on their way, in its own order. */
  wire: LiveFrame[]
}

/** A database and its executors as readers meet them: commits, crashes, zombies that go on talking, events of other runs in between. */
export class Simulation {
  readonly events: StoredEvent[] = []
  readonly runId: RunId = 'run_1'
  committedSeq = 0
  ended = false
  readonly executors: Executor[] = []
  private readonly random: () => number

  constructor(random: () => number) {
    this.random = random
    this.write('state_changed', null)
    this.claim(1, 0)
  }

  get current(): Executor {
    return this.executors.at(-1) as Executor
  }

  get epoch(): number {
    return this.current.epoch
  }

  /** Something happens: the executor speaks, commits, fails or dies; a zombie speaks; somebody else writes an event. */
  act(): void {
    const dice = this.random()
    const zombie = this.executors.at(-2)
    if (dice < 0.12 && zombie !== undefined) return this.say(zombie)
    if (this.ended) return
    if (dice < 0.62) return this.say(this.current)
    if (dice < 0.67) return this.retell(this.current)
    if (dice < 0.72) return this.write('done', null, { state: 'cancelled' }, 'run_other')
    if (dice < 0.84) return this.answer()
    if (dice < 0.9) return this.fail()
    if (dice < 0.95) return this.cut()
    return this.crash()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    this.write('done', null, { state: 'cancelled' })
    this.committedSeq = this.events.length
  }

  private say(executor: Executor): void {
    const kind = executor.said.text === 0 && this.random() < 0.4 ? 'reasoning' : 'text'
    const whole = sentence(executor.epoch, executor.step, executor.attempt, kind)
    const offset = executor.said[kind]
    const text = whole.slice(offset, offset + 1 + Math.floor(this.random() * 9))
    if (text === '') return
    executor.said[kind] += text.length
    this.emit(executor, { type: 'delta', kind, part: 0, offset, text })
  }

  private retell(executor: Executor): void {
    for (const kind of ['reasoning', 'text'] as const) {
      const text = sentence(executor.epoch, executor.step, executor.attempt, kind).slice(0, executor.said[kind])
      if (text !== '') this.emit(executor, { type: 'delta', kind, part: 0, offset: 0, text })
    }
  }

  private answer(): void {
    const { current } = this
    const { epoch, step, attempt, said } = current
    if (said.reasoning > 0) this.write('reasoning_end', step, { text: sentence(epoch, step, attempt, 'reasoning') })
    this.write('text_end', step, { text: sentence(epoch, step, attempt, 'text') })
    this.write('usage', step)
    this.write('step_complete', step)
    this.committed(step + 1, 0)
  }

  private fail(): void {
    const { step, attempt, said } = this.current
    if (said.text + said.reasoning > 0 && this.random() < 0.8) this.emit(this.current, { type: 'step_reset' })
    this.write('retry', step)
    this.committed(step, this.random() < 0.2 ? 0 : attempt + 1)
  }

  private cut(): void {
    if (this.random() < 0.5) this.emit(this.current, { type: 'step_reset' })
    this.write('handed_off', null)
    this.committedSeq = this.events.length
    this.crash()
  }

  private crash(): void {
    this.claim(this.current.step, this.current.attempt)
    this.write('resumed', null)
    this.current.afterSeq = this.events.length
  }

  private claim(step: number, attempt: number): void {
    const epoch = (this.executors.at(-1)?.epoch ?? 0) + 1
    this.executors.push({ epoch, afterSeq: this.events.length, step, attempt, said: { text: 0, reasoning: 0 }, wire: [] })
  }

  private committed(step: number, attempt: number): void {
    const { current } = this
    this.committedSeq = this.events.length
    Object.assign(current, { afterSeq: this.events.length, step, attempt, said: { text: 0, reasoning: 0 } })
    this.emit(current, { type: 'committed', seq: this.events.length })
  }

  private write(type: string, step: number | null, data: Record<string, unknown> = {}, runId: RunId = this.runId): void {
    this.events.push({ seq: this.events.length + 1, at: '2026-11-21T00:00:00Z', channel: 'progress', type, runId, step, data })
  }

  /** Some frames are lost on the way, some come twice. */
  private emit({ epoch, step, attempt, afterSeq, wire }: Executor, body: LiveFrame['body']): void {
    const frame = { agentUid, runId: this.runId, epoch, step, attempt, afterSeq, body }
    const luck = this.random()
    if (luck < 0.05) return
    wire.push(frame, ...(luck > 0.95 ? [frame] : []))
  }
}

type Kind = 'text' | 'reasoning'

/** What a careful client makes of a stream; it throws where the stream is not right. */
export class Client {
  readonly ids: number[] = []
  /** Kinds that have begun and not ended, and what of the step in hand is shown. */
  private open = new Set<Kind>()
  private shown = new Map<Kind, string>()
  private stored = new Map<Kind, string>()
  private runId: unknown = null
  private readonly gaps: boolean

  /** `gaps`: the stream of one run among several, which leaves the numbers of the others out. */
  constructor({ gaps = false } = {}) {
    this.gaps = gaps
  }

  /** What is shown of the text in hand. */
  get text(): string {
    return this.shown.get('text') ?? ''
  }

  /** The connection was lost: what had not ended begins anew on the next one. */
  reconnect(): void {
    this.open.clear()
    this.shown.clear()
    this.stored.clear()
  }

  take({ id, type, data }: OutFrame): void {
    if (id !== undefined) {
      const last = this.ids.at(-1) ?? id - 1
      if (this.gaps) expect(id, 'ids rise').toBeGreaterThan(last)
      else expect(id, 'ids rise by one').toBe(last + 1)
      this.ids.push(id)
    }
    const kind: Kind = type.startsWith('reasoning') ? 'reasoning' : 'text'
    if (type === `${kind}_start`) {
      expect(this.open.has(kind), 'a text begins while another is open').toBe(false)
      this.open.add(kind)
      this.shown.set(kind, '')
      this.runId = data['runId']
    } else if (type === `${kind}_delta`) {
      expect(this.open.has(kind), 'a delta outside a text').toBe(true)
      expect(data['offset'], 'a gap or a double').toBe(this.shown.get(kind)?.length)
      this.shown.set(kind, `${this.shown.get(kind)}${String(data['text'])}`)
    } else if (type === `${kind}_end`) {
      expect(this.shown.get(kind), 'the shown text is the stored one').toBe(data['text'])
      this.stored.set(kind, String(data['text']))
      this.open.delete(kind)
    } else if (type === 'step_reset') {
      expect(this.open.size, 'a reset of nothing').toBeGreaterThan(0)
      this.shown.clear()
      this.open.clear()
    } else if (type === 'step_complete' || (type === 'done' && data['runId'] === this.runId)) {
      expect(Object.fromEntries(this.shown), 'at the end of a step all that is shown is stored').toEqual(Object.fromEntries(this.stored))
      this.shown.clear()
      this.stored.clear()
      this.open.clear()
    }
  }
}
