import { deliver } from '#lib/webhooks/deliver'

/** Sends one line of text in the shape that Slack and its kin take, once; `again` when it was not taken and might be later. Never throws. */
export async function sendAlert(line: {
  url: string
  text: string
  id: string
  now: number
  local: boolean
}): Promise<{ ok: boolean; again: boolean; error: string | null }> {
  const { url, id, now: timestamp, local, text } = line
  const body = JSON.stringify({ text })
  const { ok, status, refused, error } = await deliver({ url, secrets: [], id, timestamp, body, local, timeoutMs: 5_000 })
  const final = refused || (status !== null && status < 500 && status !== 408 && status !== 429)
  return { ok, again: !ok && !final, error }
}
