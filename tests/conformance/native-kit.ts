import { script, type Answer, type World } from '#tests/world'

/** Pieces with characters that are easily cut in two. */
export const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} ü😀 `)
export const slow = (count: number, chunkDelayMs: number): Answer => ({
  text: letters(count).join(''),
  chunks: letters(count),
  chunkDelayMs,
})
export const echo = { tools: [{ name: 'echo', input: { value: 1 } }] }

/** A run that is being worked on, and where to follow it. */
export interface Begun {
  runId: string
  /** With a token, absolute. */
  events: string
}

/** Sends a script as a client that wants no answer now, with a credential where one is needed. */
export async function begin(world: World, agent: string, answers: Answer[], headers: Record<string, string> = {}): Promise<Begun> {
  const body = { message: script(...answers), template: 'scripted' }
  const { status, body: sent } = await world.http('POST', `/api/agents/${agent}/messages`, body, { prefer: 'respond-async', ...headers })
  if (status !== 202) throw new Error(`${status} ${JSON.stringify(sent)}`)
  const { links, runId } = sent as { links: { events: string }; runId: string }
  return { runId, events: new URL(links.events, world.base()).href }
}
