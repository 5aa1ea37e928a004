import OpenAI from 'openai'
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses'
import { makeKey } from '#tests/access/kit'
import type { World } from '#tests/world'

/** The client as it comes, with a key that may read and run. */
export async function openaiOf(world: World, scopes: readonly string[] = ['agents:read', 'agents:run']): Promise<OpenAI> {
  return clientOf(world, (await makeKey(world, scopes)).key)
}

/** The client of a credential. */
export function clientOf(world: World, apiKey: string, maxRetries = 0): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${world.base()}/v1`, maxRetries })
}

/** The run of a response, for what the native API says of it. */
export const runOf = (id: string): string => id.replace('resp_', 'run_')

/** What a consumer that adds up deltas by item has in the end: items that were given up are without text. */
export function textOf(events: readonly ResponseStreamEvent[]): string {
  const items = new Map<number, string>()
  for (const event of events) {
    if (event.type === 'response.output_item.added' && event.item.type === 'message') items.set(event.output_index, '')
    if (event.type === 'response.output_text.delta') items.set(event.output_index, (items.get(event.output_index) ?? '') + event.delta)
    if (event.type === 'response.output_item.done' && event.item.type === 'message' && event.item.status === 'incomplete')
      items.set(event.output_index, '')
  }
  return [...items.entries()]
    .toSorted(([left], [right]) => left - right)
    .map(([, text]) => text)
    .join('')
}

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

/** What every stream must keep: numbers that only grow, indexes of items without gaps, each item opened once and closed once. */
export function faultsOf(events: readonly ResponseStreamEvent[]): string[] {
  const faults: string[] = []
  const open = new Set<number>()
  let items = 0
  let last = -1
  for (const event of events) {
    if (event.sequence_number <= last) faults.push(`${event.type}: ${event.sequence_number} after ${last}`)
    last = event.sequence_number
    if (event.type === 'response.output_item.added') {
      if (event.output_index !== items) faults.push(`item ${event.output_index} added as number ${items}`)
      items += 1
      open.add(event.output_index)
    } else if (event.type === 'response.output_item.done' && !open.delete(event.output_index))
      faults.push(`item ${event.output_index} closed`)
    else if ('output_index' in event && event.type !== 'response.output_item.done' && !open.has(event.output_index))
      faults.push(`${event.type} of item ${event.output_index}, which is not open`)
  }
  return faults
}
