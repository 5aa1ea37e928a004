import { deliver } from '#lib/webhooks/deliver'

/** Sends one line of text in the shape that Slack and its kin take, once; false when it was not taken. Never throws. */
export async function sendAlert(line: {
  url: string
  text: string
  id: string
  now: number
  local: boolean
}): Promise<{ ok: boolean; error: string | null }> {
  const { url, id, now: timestamp, local, text } = line
  const body = JSON.stringify({ text })
  const { ok, error } = await deliver({ url, secrets: [], id, timestamp, body, local, timeoutMs: 5_000 })
  return { ok, error }
}
