import OpenAI from 'openai'
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses'
import { makeKey } from '#tests/access/kit'
import { faultsOf as faultsOfFrames, textOf as addedUp } from '#tests/responses/kit'
import type { Frame, World } from '#tests/world'

export { runOf } from '#tests/responses/kit'

/** The client as it comes, with a key that may read and run. */
export async function openaiOf(world: World, scopes: readonly string[] = ['agents:read', 'agents:run']): Promise<OpenAI> {
  return clientOf(world, (await makeKey(world, scopes)).key)
}

/** The client of a credential. */
export function clientOf(world: World, apiKey: string, maxRetries = 0): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${world.base()}/v1`, maxRetries })
}

/** The events of the client as frames, which is what the rules of a stream are written for. */
const framesOf = (events: readonly ResponseStreamEvent[]): Frame[] =>
  events.map((event) => ({ id: undefined, event: event.type, data: event as unknown as Frame['data'] }))

/** What a consumer that adds up deltas by item has in the end: items that were given up are without text. */
export const textOf = (events: readonly ResponseStreamEvent[]): string => addedUp(framesOf(events))

/** What every stream must keep: see tests/responses/kit.ts. */
export const faultsOf = (events: readonly ResponseStreamEvent[]): string[] => faultsOfFrames(framesOf(events))

/** The response that the last event of a stream carries; throws where the stream has no such end. */
export function finalOf(events: readonly ResponseStreamEvent[]): Response {
  const last = events.at(-1)
  if (last === undefined || !('response' in last)) throw new Error(`the stream ended with ${last?.type ?? 'nothing'}`)
  return last.response
}

/** Reads until the stream ends or breaks; says which, and keeps what came. */
export async function drain(
  stream: AsyncIterable<ResponseStreamEvent>,
  events: ResponseStreamEvent[] = [],
  onEvent: (event: ResponseStreamEvent) => void | Promise<void> = () => undefined,
): Promise<{ events: ResponseStreamEvent[]; broken: unknown }> {
  try {
    for await (const event of stream) {
      events.push(event)
      await onEvent(event)
    }
    return { events, broken: null }
  } catch (broken) {
    return { events, broken }
  }
}
