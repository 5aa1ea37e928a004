import { BatonError } from '#lib/core/errors'
import type { AgentUid, RunId } from '#lib/core/ids'
import type { AgentView, StoredEvent } from '#lib/core/pages'
import type { ToolCall } from '#lib/core/run'
import type { Rows } from '#lib/api/chat-history'
import { mostBytes as mostPageBytes } from '#lib/api/listing'
import { cursorProblem } from '#lib/api/stream'
import { authorityOf } from '#lib/api/scope'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import { accepts } from '#lib/http/headers'
import type { ShapeError } from '#lib/http/problem'

const pageSize = 200
/** The newest 5,000 messages are shown, of them 3 MB, and 1 MB of what waits: a page of a chat has no use for more. */
const mostPages = 25
const mostBytes = 3_000_000
const mostQueued = 1_000_000
/** So many events of a run are counted, 4 MB at a time. */
const mostEvents = 5_000

/**
 * The AI SDK shows the text of a refusal to the user: code and sentence. Who asks for JSON gets the problem document. A body that is not
 * declared as JSON is what WorkflowChatTransport sends as it comes.
 */
export const chatErrors: ShapeError = ({ code, detail }, request) => {
  if (accepts(request, 'application/json')) return null
  const bare = code === 'unsupported_media_type' && request.method === 'POST'
  if (!bare) return { body: `${code}: ${detail}` }
  const why = 'The request names no chat and is not declared as JSON: give the transport the functions of chatTransport().'
  return { status: 400, body: `chat_id_missing: ${why} ${detail}` }
}

/** The rows of a chat's history, the newest where there are very many. */
export async function readHistory(services: Services, caller: Caller, { id, agentUid }: AgentView): Promise<Rows> {
  const { store } = services
  const rows: Rows['messages'][number][] = []
  const calls: ToolCall[] = []
  let queued: Rows['queued'] = []
  let before = Number.MAX_SAFE_INTEGER
  let bytes = mostBytes
  for (let page = 0; page < mostPages && bytes > 0; page++) {
    const answer = await store.listMessages({ agentUid, before, limit: pageSize, bytes, queue: page === 0 ? mostQueued : 0 })
    if (page === 0) queued = answer.queued
    rows.unshift(...answer.data)
    calls.push(...(await readCalls(services, agentUid, answer.data)))
    before = answer.data[0]?.seq ?? 0
    bytes -= answer.bytes
    if (answer.cut || answer.data.length < pageSize) break
  }
  const approvals = await store.listApprovals(authorityOf(services, caller), { limit: pageSize, after: null, state: 'pending', agent: id })
  if (!approvals.ok) throw refusalError(approvals)
  return { messages: rows, queued, calls, pending: approvals.data }
}

/** The records of the calls that the messages ask for: their outputs are in the messages, too, and so as large together. */
async function readCalls({ store }: Services, agentUid: AgentUid, messages: Rows['messages']): Promise<ToolCall[]> {
  const callIds = messages.flatMap(({ content }) =>
    Array.isArray(content) ? content.flatMap((part) => (part.type === 'tool-call' ? [part.toolCallId] : [])) : [],
  )
  return callIds.length === 0 ? [] : (await store.listToolCalls({ agentUid, callIds, limit: callIds.length, after: null })).data
}

/** The stored events of a run after `after`, one after the other, for positions to be counted. Throws BatonError cursor_expired. */
export async function* storedEvents(
  { store }: Pick<Services, 'store'>,
  agentUid: AgentUid,
  runId: RunId,
  after: number,
): AsyncGenerator<StoredEvent, void> {
  let from = after
  for (let told = 0; told < mostEvents;) {
    const page = await store.listEvents({ agentUid, runId, after: from, limit: pageSize, bytes: mostPageBytes })
    if (!page.ok) throw cursorProblem(page)
    yield* page.data
    if (!page.more) return
    told += page.data.length
    from = page.data.at(-1)?.seq ?? from
  }
  throw new BatonError('cursor_expired', 'The stream is too long to be counted: load the messages again and follow from startIndex 0.')
}
