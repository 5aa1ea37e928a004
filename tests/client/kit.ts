import { expect } from 'vitest'
import { createBaton, type BatonEvent, type SentMessage } from '#client'
import { Client } from '#lib/api/reader.fixture'
import { script, type Answer, type World } from '#tests/world'

/** Pieces of a text with characters that are easily cut in two. */
export const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} ü😀 `)
/** An answer that takes `count` times `chunkDelayMs`. */
export const slow = (count: number, chunkDelayMs: number): Answer => ({
  text: letters(count).join(''),
  chunks: letters(count),
  chunkDelayMs,
})

/** Sends a script without credentials. */
export const say = (world: World, agent: string, answers: Answer[], url = world.base()): SentMessage =>
  createBaton({ url }).agents.send(agent, script(...answers), { template: 'scripted' })

/** What a careful reader made of one iterator. */
export interface Seen {
  events: BatonEvent[]
  seqs: number[]
}

/** Reads to the end; throws where a piece is missing, doubled, out of order or not what is stored. */
export async function readAll(events: AsyncIterable<BatonEvent>, onEvent?: (event: BatonEvent) => void | Promise<void>): Promise<Seen> {
  const client = new Client({ gaps: true })
  const seen: Seen = { events: [], seqs: [] }
  for await (const event of events) {
    seen.events.push(event)
    if (event.seq !== undefined) seen.seqs.push(event.seq)
    client.take({ type: event.type, data: { ...event }, ...(event.seq === undefined ? {} : { id: event.seq }) })
    await onEvent?.(event)
  }
  return seen
}

/** All that a text iterator has said. */
export async function readTexts(text: AsyncIterable<string>): Promise<string[]> {
  const said: string[] = []
  for await (const now of text) said.push(now)
  return said
}

/** The run's stored events and its text are exactly what was seen. */
export async function expectWhole(world: World, agent: string, runId: string, seen: Seen, said: string[]): Promise<void> {
  const run = await world.ended(runId)
  const stored = (await world.events(agent)).filter((event) => event.runId === runId)
  expect(seen.seqs).toEqual(stored.map(({ seq }) => seq))
  expect(seen.events.at(-1)?.type).toBe('done')
  expect(Buffer.from(said.at(-1) ?? '')).toEqual(Buffer.from(run.output ?? 'no output'))
}
