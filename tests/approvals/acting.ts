import type { ToolCall } from '#lib/core/run'
import { localTemplates } from '#local/scripted/extra'
import { runOf } from '#tests/engine/helpers'
import { script, type Reply, type World } from '#tests/world'

/** Templates that ask, decide by themselves, only read, and let a person say what becomes of an unknown outcome. */
export const templates = localTemplates({
  templates: [
    { id: 'asks', model: 'local/scripted', permission: { mode: 'approval', ask: ['charge'], allow: ['echo', 'wait'] } },
    { id: 'custom', model: 'local/scripted', permission: { mode: 'custom', allow: ['echo'] }, decides: 'by-key' },
    { id: 'reads', model: 'local/scripted', permission: { mode: 'readonly' } },
    { id: 'careful', model: 'local/scripted', unknownOutcome: 'pause' },
    { id: 'strict', model: 'local/scripted', unknownOutcome: 'fail' },
    { id: 'lenient', model: 'local/scripted', permission: { ask: ['charge'] }, approvalExpiresMs: 60_000, approvalDefault: 'allow' },
  ],
})

/** The answer to a message whose run has paused. */
export interface PausedBody {
  status: string
  approvals: { id: string; callId: string; tool: string; input: unknown; kind: string; expiresAt: string }[]
  externalCalls: { callId: string; callbackUrl: string; expiresAt: string }[]
}

/** A script that charges once and then says "over". */
export const charging = (key: string, cents = 5): string => script({ tools: [{ name: 'charge', input: { key, cents } }] }, { text: 'over' })
export const pausedBody = (reply: Reply): PausedBody => reply.body as unknown as PausedBody

/** What these tests do and look at over HTTP. */
export function acting(world: () => World) {
  return {
    decide: (id: string, body: object, server = 0): Promise<Reply> => world().http('POST', `/api/approvals/${id}`, body, {}, server),
    charges: async (key: string): Promise<number> => (await world().effects({ key })).filter((line) => line.kind === 'tool').length,
    callsOf: async (agent: string): Promise<ToolCall[]> =>
      (await world().http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as ToolCall[],
    eventsOf: async (agent: string, type: string): Promise<Record<string, unknown>[]> =>
      (await world().events(agent)).filter((event) => event.type === type),
    /** A run that waits for a decision about `charge`. */
    async asked(
      agent: string,
      template = 'asks',
      message = charging(agent),
    ): Promise<{ runId: string; approval: PausedBody['approvals'][number] }> {
      const reply = await world().send(agent, message, { template, prefer: 'wait=25' })
      const [approval] = pausedBody(reply).approvals ?? []
      if (reply.status !== 202 || approval === undefined) throw new Error(`not paused: ${reply.status} ${JSON.stringify(reply.body)}`)
      return { runId: runOf(reply), approval }
    },
  }
}
