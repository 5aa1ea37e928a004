/** A message of the AI SDK, as far as it is looked at here. */
interface ChatMessage {
  role: string
  parts: readonly { type: string }[]
}

/** What a transport of the AI SDK hands to the function that prepares a message's request; the parts that are used here. */
interface SendOptions {
  id: string
  messages: ChatMessage[]
  trigger?: string
  messageId?: string | undefined
  body?: Record<string, unknown> | undefined
  headers?: ConstructorParameters<typeof Headers>[0]
  api: string
}

/** The same for the request that goes on with a stream. */
interface ReconnectOptions {
  id: string
  headers?: ConstructorParameters<typeof Headers>[0]
  api: string
}

/** What `chatTransport` is told. */
export interface ChatTransportOptions {
  /** Gives the token of the signed-in user (or a key, on a server); asked before each request. Left out where cookies or nothing is needed. */
  getToken?: () => string | null | undefined | Promise<string | null | undefined>
  /** The template of a chat that does not exist yet. */
  template?: string
  /** The server's address where it is not the page's own, `https://agents.example.com`. */
  baseUrl?: string
  fetch?: typeof fetch
}

/** Options for `WorkflowChatTransport` and `DefaultChatTransport`. */
export interface ChatTransport {
  api: string
  fetch: typeof fetch
  prepareSendMessagesRequest: (options: SendOptions) => Promise<{ api: string; body: object; headers: Record<string, string> }>
  prepareReconnectToStreamRequest: (options: ReconnectOptions) => Promise<{ api: string; headers: Record<string, string> }>
}

/** Streams that may be gone on with at one time; older ones are forgotten, and then positions are told by count alone. */
const mostStreams = 50

/**
 * Options for the AI SDK's transports: `new WorkflowChatTransport(chatTransport({getToken}))`. They send the id and the credential that the
 * stock transport leaves out, only the last message (Baton believes no history; of an answer its last step, where what waits is), and, where a
 * stream is gone on with, how many steps of it were seen, so that its place is exact also after a step was repeated.
 */
export function chatTransport({ getToken, template, baseUrl = '', fetch: given }: ChatTransportOptions = {}): ChatTransport {
  const api = `${baseUrl.replace(/\/$/, '')}/api/chat`
  const seen = new Map<string, number[]>()
  const credential = async (headers: ConstructorParameters<typeof Headers>[0]): Promise<Record<string, string>> => {
    const token = await getToken?.()
    return {
      ...Object.fromEntries(new Headers(headers)),
      ...(token === null || token === undefined ? {} : { authorization: `Bearer ${token}` }),
    }
  }
  return {
    api,
    fetch: async (input, init) => {
      const url = String(input instanceof Request ? input.url : input)
      const headers = new Headers(init?.headers)
      const { key, startIndex } = placeOf(url)
      // What came in and was lost before the client took it up is beyond its own count.
      const begun = startIndex > 0 ? (seen.get(key) ?? []).filter((place) => place < startIndex) : []
      if (begun.length > 0) headers.set('x-baton-steps', String(begun.length))
      const response = await (given ?? globalThis.fetch)(input, { ...init, headers })
      const stream = response.headers.get('x-workflow-run-id')
      if (!response.ok || response.body === null || stream === null) return response
      // The same stream goes by its own id and, after a reload, by that of its chat.
      const names = key === '' ? [stream] : [stream, key]
      remember(seen, names, begun)
      const { status, statusText, headers: answered } = response
      return new Response(noting(response.body, Math.max(0, startIndex), begun), { status, statusText, headers: answered })
    },
    async prepareSendMessagesRequest({ id, messages, trigger, messageId, body, headers }) {
      return {
        api,
        headers: { ...(await credential(headers)), 'content-type': 'application/json' },
        body: {
          ...(template === undefined ? {} : { template }),
          ...body,
          id,
          messages: messages.slice(-1).map(lastStepOf),
          trigger: trigger ?? 'submit-message',
          ...(messageId === undefined ? {} : { messageId }),
        },
      }
    },
    async prepareReconnectToStreamRequest({ id, api: suggested, headers }) {
      // DefaultChatTransport suggests the bare address, WorkflowChatTransport that of the stream.
      const path = suggested.endsWith('/stream') ? suggested : `${api}/${encodeURIComponent(id)}/stream`
      return { api: path, headers: await credential(headers) }
    },
  }
}

/** The message; of an answer no more than its last step, for all that its tools have given may be more than a request may have. */
function lastStepOf(message: ChatMessage): ChatMessage {
  if (message.role !== 'assistant') return message
  const from = message.parts.map(({ type }) => type).lastIndexOf('step-start')
  return from > 0 ? { ...message, parts: message.parts.slice(from) } : message
}

/** Which stream an address goes on with, and from where; `key` is empty for a new one. */
function placeOf(url: string): { key: string; startIndex: number } {
  const match = /\/([^/?]+)\/stream(?:\?startIndex=(-?\d+))?$/.exec(url)
  return { key: match?.[1] === undefined ? '' : decodeURIComponent(match[1]), startIndex: Number(match?.[2] ?? 0) }
}

function remember(seen: Map<string, number[]>, names: readonly string[], begun: number[]): void {
  for (const name of names) {
    seen.delete(name)
    seen.set(name, begun)
  }
  for (const [oldest] of seen) {
    if (seen.size <= mostStreams) break
    seen.delete(oldest)
  }
}

/** The same bytes; the place of each step that begins in them is added to `begun`, counted in chunks from `from`. */
function noting(body: ReadableStream<Uint8Array>, from: number, begun: number[]): ReadableStream<Uint8Array> {
  const decoder = new TextDecoder()
  let place = from
  let rest = ''
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue
          if (line === 'data: {"type":"start-step"}') begun.push(place)
          place += 1
        }
        controller.enqueue(bytes)
      },
    }),
  )
}
