import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { agentNamePattern } from '#lib/core/ids'
import type { RunView } from '#lib/core/store'
import { countChunks, positionOf, type Position } from '#lib/api/chat-position'
import { chatErrors, storedEvents } from '#lib/api/chat-reads'
import { streamChat, streamId } from '#lib/api/chat-stream'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf, requireAgent, requireRun } from '#lib/api/scope'
import { checkCursor } from '#lib/api/stream'
import type { Services } from '#lib/services'
import type { Caller } from '#lib/http/caller'

/** A header of the client package's transport: how many steps of the stream it has seen begin. With it every position is exact. */
const stepsHeader = 'x-baton-steps'

/**
 * So long after its end a run is still served to who asks for the chat's stream: a client whose stream broke may come back when the run is
 * over, and would take 204 for the end of what it has.
 */
const recentMs = 300_000

/** GET /api/chat/{id}/stream: what runs now, from its first chunk or from `startIndex`; 204 where nothing has run of late. */
export const resumeChat = endpoint({
  method: 'GET',
  path: '/api/chat/{id}/stream',
  summary: 'AI SDK UI: follow the running answer of a chat, or a run, from startIndex',
  shapeError: chatErrors,
  params: z.object({ id: z.string().min(1).max(200) }),
  query: z.object({ startIndex: z.coerce.number().pipe(z.int().min(-1_000_000_000).max(1_000_000_000)).optional() }),
  async handler({ services, request, params, query, caller }) {
    const { startIndex } = query
    const found = await streamOf(services, caller, params.id, startIndex !== undefined)
    if (found === null) return new Response(null, { status: 204 })
    const { run, from } = found
    const after = from ?? (run.firstSeq ?? run.lastSeq + 1) - 1
    await checkCursor(services, run.agentUid, after)
    const steps = stepsOf(request)
    let position: Position | null = null
    if (startIndex !== undefined && startIndex > 0) {
      position = steps > 0 ? { steps } : await counted(services, run, { after, goesOn: from !== null }, startIndex)
      if (position === null) return new Response(null, { status: 204 })
    }
    const paused = run.state === 'awaiting_approval' || run.wait?.kind === 'external'
    return streamChat(
      { services, request, caller },
      {
        agentUid: run.agentUid,
        runId: run.id,
        after,
        goesOn: from !== null,
        position,
        ...(paused ? { pausedAt: { seq: run.lastSeq, state: run.state } } : {}),
        headers: {
          'x-workflow-run-id': streamId(run.id, from),
          // Counted from the end is counted from the beginning of the message: a part is never shown without its start.
          ...(startIndex !== undefined && startIndex < 0 ? { 'x-workflow-stream-tail-index': String(-1 - startIndex) } : {}),
        },
      },
    )
  },
})

function stepsOf(request: Request): number {
  const header = request.headers.get(stepsHeader) ?? '0'
  if (!/^\d{1,6}$/.test(header)) throw new BatonError('invalid_cursor', `${stepsHeader} is a whole number of steps.`)
  return Number(header)
}

/** The run and where its stream begins, by the id of a chat, of a run, or of a run's continuation; null where nothing is to be followed. */
async function streamOf(
  services: Services,
  caller: Caller,
  id: string,
  counts: boolean,
): Promise<{ run: RunView; from: number | null } | null> {
  const continued = /^(run_[^~]+)~(\d{1,15})$/.exec(id)
  if (continued?.[1] !== undefined) return { run: (await requireRun(services, caller, continued[1])).run, from: Number(continued[2]) }
  if (id.startsWith('run_')) {
    const answer = await services.store.getRun(authorityOf(services, caller), id)
    if (answer.ok) return { run: answer.run, from: null }
    if (!agentNamePattern.test(id)) throw new BatonError('run_not_found', 'There is no run of this id.')
  }
  const agent = await requireAgent(services, caller, id)
  const query = { limit: 1, after: null, agentUid: agent.agentUid, order: 'desc' }
  const runId = agent.activeRunId ?? (await services.store.listRuns(authorityOf(services, caller), query)).data[0]?.id
  if (runId === undefined) return null
  const { run, now } = await requireRun(services, caller, runId)
  const isOver = run.endedAt !== null && Date.parse(now) - Date.parse(run.endedAt) > recentMs
  return isOver && !counts ? null : { run, from: null }
}

async function counted(
  services: Services,
  run: RunView,
  begin: { after: number; goesOn: boolean },
  startIndex: number,
): Promise<Position | null> {
  const events = storedEvents(services, run.agentUid, run.id, begin.after)
  // A hook may replace a text that was shown while it came: such a text is stored nowhere.
  const replaces = services.templates.get(run.template)?.hooks?.some((hook) => hook.postModel !== undefined) ?? false
  return positionOf(startIndex, await countChunks({ runId: run.id, ...begin }, events, replaces))
}
