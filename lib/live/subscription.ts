import type { RedisSettings } from '#lib/live/connection'

const openTimeoutMs = 2_000
const longestLine = 64 * 1024

/**
 * Reads a channel over Upstash's SSE interface: yields null once the subscription stands, then each message.
 * Ends when the connection ends and throws when it breaks or does not stand within 2 s.
 * The client's own `subscribe` is not used: it ends without telling anybody (7-stack-facts).
 */
export async function* readChannel(settings: RedisSettings, channel: string, stop: AbortSignal): AsyncGenerator<string | null> {
  const opening = new AbortController()
  const timer = setTimeout(() => opening.abort(new Error('The subscription did not stand in time')), openTimeoutMs)
  try {
    const signal = AbortSignal.any([stop, opening.signal])
    const response = await fetch(`${settings.url.replace(/\/$/, '')}/subscribe/${encodeURIComponent(channel).replaceAll('%3A', ':')}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${settings.token}`, accept: 'text/event-stream' },
      cache: 'no-store',
      signal,
    })
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      throw new Error(`Redis refused the subscription with status ${response.status}`)
    }
    for await (const data of eventData(response.body, signal)) {
      if (data.startsWith('subscribe,')) {
        clearTimeout(timer)
        yield null
      } else if (data.startsWith(`message,${channel},`)) {
        yield data.slice(`message,${channel},`.length)
      }
    }
    opening.signal.throwIfAborted()
  } finally {
    clearTimeout(timer)
  }
}

/** The `data:` lines of an event stream, until it ends or the signal aborts. */
async function* eventData(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  // Not by `for await`: to the types of an app around Baton (TypeScript 5, lib "dom") a stream of the web is none to iterate.
  const reader = body.getReader()
  // Node up to 22 lets a read wait for ever when the server has closed the body and its last piece is unread at the abort.
  const leave = (): void => void reader.cancel().catch(() => undefined)
  signal.addEventListener('abort', leave, { once: true })
  if (signal.aborted) leave()
  let rest = ''
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      rest += decoder.decode(piece.value, { stream: true })
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > longestLine) throw new Error('A line of the subscription is too long')
      for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim()
    }
  } finally {
    signal.removeEventListener('abort', leave)
    // Of a stream that has broken it fails with the same error again.
    await reader.cancel().catch(() => undefined)
  }
}
