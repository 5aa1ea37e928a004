import { Chat } from '@ai-sdk/react'
import { WorkflowChatTransport } from '@ai-sdk/workflow/client'
import { DefaultChatTransport, uiMessageChunkSchema, type ChatInit, type UIMessage } from 'ai'
import { createParser } from 'eventsource-parser'
import { expect } from 'vitest'
import { chatTransport, type ChatTransportOptions } from '../../lib/client/src/chat-transport.ts'
import { poll } from '#local/poll'
import { bearer } from '#tests/access/kit'
import type { World } from '#tests/world'

/** How a chat is made: which of the stock transports, and whose. */
export interface ChatOptions {
  transport: 'default' | 'workflow'
  id: string
  token?: string
  template?: string
  /** The servers that are tried in turn, as a load balancer would. */
  servers?: number
  /** What a page has loaded before. */
  messages?: UIMessage[]
  init?: Partial<ChatInit<UIMessage>>
}

/** A chat of useChat's own class, with each chunk that comes in checked. */
export function openChat(world: World, { transport, id, token, template = 'scripted', servers = 1, messages, init }: ChatOptions) {
  let at = 0
  const balanced: typeof fetch = async (input, init) => {
    for (let turn = 0; ; turn++) {
      const url = new URL(String(input instanceof Request ? input.url : input))
      try {
        const response = await fetch(world.base(at % servers) + url.pathname + url.search, init)
        return checked(response)
      } catch (error) {
        if (turn >= servers - 1 || init?.signal?.aborted === true) throw error
        at++
      }
    }
  }
  const options: ChatTransportOptions = { baseUrl: world.base(), template, fetch: balanced, getToken: () => token ?? null }
  const made = chatTransport(options)
  const chat = new Chat<UIMessage>({
    id,
    transport: transport === 'default' ? new DefaultChatTransport(made) : new WorkflowChatTransport(made),
    ...(messages === undefined ? {} : { messages }),
    ...init,
  })
  return chat
}

const schema = uiMessageChunkSchema()

/** The same response; a chunk that the AI SDK does not know fails the test that reads it. */
function checked(response: Response): Response {
  if (response.body === null || !response.headers.get('content-type')?.startsWith('text/event-stream')) return response
  const decoder = new TextDecoder()
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') return
      void Promise.resolve(schema.validate?.(JSON.parse(data))).then((result) => expect(result?.success, data).toBe(true))
    },
  })
  const body = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        parser.feed(decoder.decode(bytes, { stream: true }))
        controller.enqueue(bytes)
      },
    }),
  )
  return new Response(body, { status: response.status, headers: response.headers })
}

/** The text of the assistant in a list of messages. */
export function spoken(messages: readonly UIMessage[]): string[] {
  return messages
    .filter((message) => message.role === 'assistant')
    .map((message) => message.parts.map((part) => (part.type === 'text' ? part.text : '')).join(''))
}

/** The text of the assistant as Postgres has it, run by run. */
export async function stored(world: World, agent: string): Promise<string[]> {
  const rows = await world.sql<{ run_id: string; content: { type: string; text?: string }[] }>(
    "select m.run_id, m.content from baton.messages m join baton.agents a using (agent_uid) where a.id = $1 and m.role = 'assistant' order by m.seq",
    [agent],
  )
  const texts = new Map<string, string>()
  for (const { run_id: run, content } of rows) {
    texts.set(run, (texts.get(run) ?? '') + content.map((part) => (part.type === 'text' ? part.text : '')).join(''))
  }
  return [...texts.values()]
}

/** The history of a chat as a page loads it. */
export async function load(world: World, id: string, token?: string): Promise<UIMessage[]> {
  const response = await fetch(`${world.base()}/api/chat/${id}`, { headers: token === undefined ? {} : bearer(token) })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return ((await response.json()) as { messages: UIMessage[] }).messages
}

/** Waits until the chat is ready and what it shows is what is stored; goes on with the stream whenever it has broken. */
export async function settled(chat: Chat<UIMessage>, forMs = 60_000): Promise<number> {
  let resumes = 0
  const ready = await poll(
    async () => {
      if (chat.status === 'error') {
        resumes++
        await chat.resumeStream()
      }
      return chat.status === 'ready'
    },
    { everyMs: 250, forMs },
  )
  if (!ready) throw new Error(`the chat is ${chat.status}: ${chat.error?.message ?? ''}`)
  return resumes
}
