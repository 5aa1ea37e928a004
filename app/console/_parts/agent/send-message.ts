import { send } from '#app/console/_parts/api'

/**
 * Reads an answer to its end and forgets it. A message is sent as a stream, so that its first slice runs in the request; what it says
 * comes to the page by the agent's own events. Going away ends the reading and not the run.
 */
export function drain(response: Response): void {
  response.body?.pipeTo(new WritableStream()).catch(() => undefined)
}

/** Sends a message to an agent that exists. Throws Problem. */
export async function sendMessage(agent: string, message: string, onBusy: string): Promise<void> {
  const path = `/api/agents/${encodeURIComponent(agent)}/messages`
  const headers = { accept: 'text/event-stream', 'if-match': '*', 'idempotency-key': crypto.randomUUID() }
  drain(await send('POST', path, { body: { message, onBusy }, headers }))
}

/** What stands in the box when a message has been sent: what was typed while it was on its way is the next one. */
export function leftAfter(sent: string, now: string): string {
  return now === sent ? '' : now
}
