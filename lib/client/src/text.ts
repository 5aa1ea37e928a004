import type { BatonEvent } from '#client/events'

/** The answer of a run as it must be shown, whole each time it has changed: that of its latest step with a text; the last is the stored output. */
export async function* texts(events: AsyncIterable<BatonEvent>): AsyncGenerator<string, void, undefined> {
  let step: number | null = null
  let text = ''
  for await (const event of events) {
    const before = text
    if (event.type === 'text_delta') text = (event.step === step ? text.slice(0, event.offset) : '') + event.text
    else if (event.type === 'text_end') text = event.text
    else if (event.type === 'step_reset' && event.step === step) text = ''
    else if (event.type === 'done') text = event.output ?? text
    else continue
    if (event.type !== 'done') step = event.step
    if (text !== before) yield text
  }
}
