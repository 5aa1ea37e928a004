import type { BatonEvent, Channel, EventType } from '#client/events'

const live: ReadonlySet<string> = new Set(['text_start', 'text_delta', 'reasoning_start', 'reasoning_delta', 'step_reset'])
/** What tells where a live text ends or is void: without them no reader can say what of it counts. */
const bookkeeping = ['step_reset', 'text_end', 'reasoning_end', 'step_complete', 'retry', 'resumed', 'window_moved']

/** Which events a reader wants; both absent mean all. */
export interface Wanted {
  channels?: readonly Channel[] | undefined
  types?: readonly EventType[] | undefined
}

/** What is asked of the server, which is more than what the reader wants where texts must be put together, and what passes to the reader. */
export function askedFor({ channels, types }: Wanted): { query: Record<string, string>; passes: (event: BatonEvent) => boolean } {
  const passes = (event: BatonEvent): boolean =>
    (types === undefined || types.includes(event.type)) && (channels === undefined || channels.includes(event.channel))
  if (types === undefined && channels === undefined) return { query: {}, passes }
  if (types !== undefined) {
    const needed = types.some((type) => live.has(type)) ? bookkeeping : []
    return { query: { types: [...new Set<string>([...types, ...needed, 'done'])].join(',') }, passes }
  }
  const needed: Channel[] = channels?.includes('progress') === true ? ['progress', 'monitor'] : [...(channels ?? []), 'progress']
  return { query: { channels: [...new Set([...(channels ?? []), ...needed])].join(',') }, passes }
}
