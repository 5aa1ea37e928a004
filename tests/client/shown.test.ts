import { expect, test } from 'vitest'
import type { BatonEvent } from '#client'
import { Merger, type OutFrame } from '#lib/api/reader'
import { Client, randomFrom, Simulation } from '#lib/api/reader.fixture'
import type { LiveFrame } from '#lib/core/ports'
import { Shown } from '../../lib/client/src/shown'
import { texts } from '../../lib/client/src/text'

/** What a stream of several connections has shown, in one story, checked as it is told. */
class Story {
  readonly events: BatonEvent[] = []
  readonly client: Client
  readonly shown = new Shown()
  connections = 1

  constructor() {
    this.client = new Client()
  }

  take(out: OutFrame[]): void {
    for (const { type, data } of out) {
      for (const event of this.shown.take({ ...data, type } as unknown as BatonEvent)) {
        this.events.push(event)
        this.client.take({ type: event.type, data: { ...event }, ...(event.seq === undefined ? {} : { id: event.seq }) })
      }
    }
  }
}

/** One run read over many connections, each with a merger of its own as another server would have it. */
function play(seed: number): { story: Story; world: Simulation; after: number } {
  const random = randomFrom(seed)
  const world = new Simulation(random)
  const pages = 1 + Math.floor(random() * 6)
  for (let turn = 0; turn < random() * 20; turn++) world.act()
  const after = Math.floor(random() * (world.events.length + 1))
  const story = new Story()
  let merger = new Merger(after)

  /** Reads on; may stop in the middle, as a connection does that is cut. */
  const catchUp = (most = Number.POSITIVE_INFINITY): void => {
    for (let read = 0; ;) {
      const data = world.events.filter(({ seq }) => seq > merger.cursor).slice(0, pages)
      const known = { epoch: world.epoch, committedSeq: world.committedSeq, lastSeq: world.events.length }
      merger.know(known)
      for (const event of data) {
        if (++read > most) return
        story.take(merger.event(event))
      }
      if (data.length < pages) return story.take(merger.caughtUp(known))
    }
  }
  const deliver = (frame: LiveFrame): void => {
    if (merger.isAhead(frame)) catchUp()
    story.take(merger.live(frame))
  }
  const reconnect = (most?: number): void => {
    story.connections += 1
    merger = new Merger(Math.max(after, story.shown.seq))
    catchUp(most)
  }
  catchUp()
  for (let turn = 0; turn < 150; turn++) {
    const dice = random()
    const talking = world.executors.filter(({ wire }) => wire.length > 0)
    const speaker = talking[Math.floor(random() * talking.length)]
    if (dice < 0.5) world.act()
    else if (dice < 0.9) {
      const frame = speaker?.wire.shift()
      if (frame !== undefined) deliver(frame)
    } else if (dice < 0.95) reconnect()
    else {
      reconnect(Math.floor(random() * 3))
      reconnect()
    }
  }
  world.end()
  reconnect()
  for (const { wire } of world.executors) wire.forEach(deliver)
  return { story, world, after }
}

test('invariant 8, over any number of connections: one story without gaps or doubles, whose text is the stored one', async () => {
  let connections = 0
  for (let seed = 1; seed <= 400; seed++) {
    try {
      const { story, world, after } = play(seed)
      connections += story.connections
      expect(story.client.ids).toEqual(world.events.filter(({ seq }) => seq > after).map(({ seq }) => seq))
      const said: string[] = []
      async function* told(): AsyncGenerator<BatonEvent> {
        yield* story.events
      }
      for await (const text of texts(told())) said.push(text)
      const stored = world.events.findLast(({ seq, type }) => seq > after && type === 'text_end')?.data['text']
      // What is shown at the end is what is stored, or nothing where the last step was never finished.
      if (stored !== undefined) expect(['', stored]).toContain(said.at(-1))
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
  expect(connections).toBeGreaterThan(2_000)
})
