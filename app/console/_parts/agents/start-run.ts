import { call, send } from '#app/console/_parts/api'
import { leave } from '#app/console/_parts/agent/send-message'
import { createTries, type Tries } from '#app/console/_parts/tries'

/** What the dialog asks for; an empty id leaves the name to us. */
export interface StartRequest {
  template: string
  id: string
  asks: readonly string[]
  message: string
  sliceMs: number | null
}

/** The memory of a dialog: however often it is pressed after lost answers, it makes one agent and starts one run. */
export interface Starting {
  names: Tries<string>
  keys: Tries<string>
}

export function createStarting(): Starting {
  return { names: createTries(), keys: createTries() }
}

/** Makes an agent, if it does not exist, sends it its first message, and returns its id. Throws Problem. */
export async function startRun({ names, keys }: Starting, request: StartRequest): Promise<string> {
  const { template, id, asks, message, sliceMs } = request
  const name = id === '' ? names.of(JSON.stringify([template, asks]), () => `agent-${crypto.randomUUID()}`) : id
  await call('POST', '/api/agents', { body: { template, id: name, ...(asks.length === 0 ? {} : { permission: { ask: asks } }) } })
  const body = { message, ...(sliceMs === null ? {} : { limits: { sliceMs } }) }
  const key = keys.of(JSON.stringify([name, body]), () => crypto.randomUUID())
  const headers = { accept: 'text/event-stream', 'idempotency-key': key }
  leave(await send('POST', `/api/agents/${encodeURIComponent(name)}/messages`, { body, headers }))
  names.arrived(name)
  keys.arrived(key)
  return name
}
