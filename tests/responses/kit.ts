import type { Frame, Reply, World } from '#tests/world'

type Json = Record<string, unknown>

/** The template of these tests. */
export const model = 'scripted'

/** What OpenAI's clients send: a message to a conversation. */
export function create(world: World, body: Json, headers: Record<string, string> = {}): Promise<Reply> {
  return world.http('POST', '/v1/responses', { model, ...body }, headers)
}

/** The response as it stands. */
export async function retrieve(world: World, id: unknown, headers: Record<string, string> = {}): Promise<Json> {
  const reply = await world.http('GET', `/v1/responses/${String(id)}`, undefined, headers)
  if (reply.status !== 200) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`)
  return reply.body
}

/** A new response as a stream, to its end. */
export function streamed(world: World, body: Json, onFrame?: (frame: Frame) => void | Promise<void>): Promise<Frame[]> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model, ...body, stream: true }) }
  return world.stream('/v1/responses', init, onFrame)
}

/** The stream of a response that there is, from its beginning or after a number. */
export function followed(world: World, id: unknown, after?: number): Promise<Frame[]> {
  return world.stream(`/v1/responses/${String(id)}?stream=true${after === undefined ? '' : `&starting_after=${after}`}`)
}

/** The error of a refusal in OpenAI's shape, with its status. */
export function errorOf({ status, body }: Reply): Json {
  return { status, ...(body['error'] as Json) }
}

/** The text of a response: that of its messages, one after the other. */
export function outputText({ output }: Json): string {
  return (output as { content?: { text: string }[] }[]).flatMap(({ content = [] }) => content.map(({ text }) => text)).join('')
}

/** The run of a response, for what the native API says of it. */
export const runOf = (id: unknown): string => String(id).replace('resp_', 'run_')

/** The response that the last frame of a stream carries. */
export function finalOf(frames: readonly Frame[]): Json {
  return frames.at(-1)?.data['response'] as Json
}

/** What somebody has who adds up deltas by item: items that were given up are without text. */
export function textOf(frames: readonly Frame[]): string {
  const items = new Map<unknown, string>()
  for (const { event, data } of frames) {
    const at = data['output_index']
    if (event === 'response.output_text.delta') items.set(at, (items.get(at) ?? '') + String(data['delta']))
    if (event === 'response.output_item.done' && (data['item'] as Json)['status'] === 'incomplete') items.delete(at)
  }
  return [...items.values()].join('')
}

/** What every stream must keep: numbers that only grow, items without gaps, each opened once and closed once. */
export function faultsOf(frames: readonly Frame[]): string[] {
  const faults: string[] = []
  const open = new Set<unknown>()
  let items = 0
  let last = -1
  for (const { event = '', data } of frames) {
    const { sequence_number: number, output_index: index } = data as { sequence_number: number; output_index?: number }
    if (number <= last) faults.push(`${event}: ${number} after ${last}`)
    last = number
    if (event === 'response.output_item.added') {
      if (index !== items++) faults.push(`item ${index} is added as another`)
      open.add(index)
    } else if (event === 'response.output_item.done') {
      if (!open.delete(index)) faults.push(`item ${index} is closed and was not open`)
    } else if (index !== undefined && !open.has(index)) faults.push(`${event} of item ${index}, which is not open`)
  }
  return faults
}
