import { randomUUID } from 'node:crypto'
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { Memory } from '@mastra/memory'
import { PostgresStore } from '@mastra/pg'
import pg from 'pg'
import { z } from 'zod'
import type { Peer } from '#bench/peers/peer'
import { earlier } from '#bench/peers/texts'

const echo = createTool({
  id: 'echo',
  description: 'Answers with its input.',
  inputSchema: z.object({ value: z.string() }),
  execute: async ({ value }) => ({ value }),
})

const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
type Part = { type: 'tool-call'; toolCallId: string; toolName: string; input: string } | { type: 'text'; text: string }

/** The instant model, in the AI SDK's form: first the call, then the answer to its result. */
const model = {
  specificationVersion: 'v2' as const,
  provider: 'bench',
  modelId: 'instant',
  supportedUrls: {},
  doGenerate: async ({ prompt }: { prompt: { role: string }[] }) => ({ ...answer(prompt), usage, warnings: [] }),
  doStream: async ({ prompt }: { prompt: { role: string }[] }) => {
    const { content, finishReason } = answer(prompt)
    const parts = content.flatMap((part): object[] =>
      part.type === 'text'
        ? [
            { type: 'text-start', id: 't' },
            { type: 'text-delta', id: 't', delta: part.text },
            { type: 'text-end', id: 't' },
          ]
        : [part],
    )
    const all = [{ type: 'stream-start', warnings: [] }, ...parts, { type: 'finish', finishReason, usage }]
    const stream = new ReadableStream<object>({
      start(controller) {
        for (const part of all) controller.enqueue(part)
        controller.close()
      },
    })
    return { stream }
  },
}

function answer(prompt: { role: string }[]): { content: Part[]; finishReason: 'stop' | 'tool-calls' } {
  if (prompt.at(-1)?.role === 'tool') return { content: [{ type: 'text', text: 'done' }], finishReason: 'stop' }
  const call: Part = { type: 'tool-call', toolCallId: `call_${randomUUID()}`, toolName: 'echo', input: '{"value":"x"}' }
  return { content: [call], finishReason: 'tool-calls' }
}

/** Mastra with memory in its Postgres store, at its defaults (the last 10 messages are recalled). */
export const peer: Peer = {
  name: 'Mastra, PostgresStore, default memory',
  async open(databaseUrl, fresh) {
    const storage = new PostgresStore({ id: 'bench', connectionString: databaseUrl })
    if (fresh) await storage.init()
    const memory = new Memory({ storage })
    const agent = new Agent({
      id: 'bench',
      name: 'bench',
      instructions: 'Answer.',
      // The package's types want the provider's own classes; its shape is checked at run time.
      model: model as never,
      tools: { echo },
      memory,
    })
    new Mastra({ agents: { bench: agent }, storage, logger: false })
    const counter = new pg.Pool({ connectionString: databaseUrl, max: 1 })
    return {
      async fill(thread, messages) {
        await memory.createThread({ threadId: thread, resourceId: 'user' })
        const from = Date.now() - messages * 1_000
        const history = Array.from({ length: messages }, (_, at) => ({
          id: randomUUID(),
          threadId: thread,
          resourceId: 'user',
          role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
          type: 'text',
          createdAt: new Date(from + at * 1_000),
          content: { format: 2 as const, parts: [{ type: 'text' as const, text: earlier(at) }] },
        }))
        for (let at = 0; at < history.length; at += 500) await memory.saveMessages({ messages: history.slice(at, at + 500) })
      },
      async turn(thread) {
        const { text } = await agent.generate('Hello', { memory: { thread, resource: 'user' } })
        if (text !== 'done') throw new Error(`it ended with ${JSON.stringify(text)}`)
      },
      async count(thread) {
        const { rows } = await counter.query<{ many: string }>('select count(*) as many from mastra_messages where thread_id = $1', [
          thread,
        ])
        return Number(rows[0]?.many ?? 0)
      },
      async close() {
        await counter.end()
        await storage.close()
      },
    }
  },
}
