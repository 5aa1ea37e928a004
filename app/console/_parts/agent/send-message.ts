import { send } from '#app/console/_parts/api'
import type { Tries } from '#app/console/_parts/tries'

/**
 * Leaves the stream of a message that has been accepted. It is sent as a stream, so that its first slice runs in the request; what it says
 * comes to the page by the agent's own events. Going away never stops the run, and a browser has only six connections to a server: each
 * message that waits for its turn would hold one, until nothing could be pressed any more.
 */
export function leave(response: Response): void {
  response.body?.cancel().catch(() => undefined)
}

/** What a message was sent with the first time: it is sent again with the same, though the agent may be at work by then. */
export interface Sending {
  key: string
  way: string
  onBusy: string
}

/** Sends a message to an agent that exists; `way` says what becomes of it if the agent is `busy`. Throws Problem. */
export async function sendMessage(tries: Tries<Sending>, agent: string, message: string, way: string, busy: boolean): Promise<void> {
  const path = `/api/agents/${encodeURIComponent(agent)}/messages`
  const what = JSON.stringify([path, message, way])
  const sending = tries.of(what, () => ({ key: crypto.randomUUID(), way, onBusy: busy ? way : 'enqueue' }))
  const headers = { accept: 'text/event-stream', 'if-match': '*', 'idempotency-key': sending.key }
  leave(await send('POST', path, { body: { message, onBusy: sending.onBusy }, headers }))
  tries.arrived(sending)
}

/** Goes on from the committed history of an ended run, in one new run however often it is pressed after a lost answer. Throws Problem. */
export async function retryRun(keys: Tries<string>, runId: string): Promise<void> {
  const key = keys.of(runId, () => crypto.randomUUID())
  await send('POST', `/api/runs/${runId}/retry`, { body: {}, headers: { 'idempotency-key': key } })
  keys.arrived(key)
}

/** What stands in the box when a message has been sent: what was typed while it was on its way is the next one. */
export function leftAfter(sent: string, now: string): string {
  return now === sent ? '' : now
}
