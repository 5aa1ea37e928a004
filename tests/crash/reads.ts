import { isDeepStrictEqual } from 'node:util'
import { isObject, rowsOf, type Row } from '#tests/crash/normal'
import type { Reader } from '#tests/crash/reader'
import type { Snapshot } from '#tests/crash/snapshot'
import type { Reply } from '#tests/world'

/** What a caller reads of a row: of each field its column, or how it follows from the row. */
type View = Readonly<Record<string, string | ((row: Row) => unknown)>>

/** Microseconds of an instant as Postgres writes it. */
function micros(at: unknown): number {
  const [, seconds, fraction = '', zone] = /^(.*:\d\d)(?:\.(\d+))?(\D.*)$/.exec(String(at)) ?? []
  return Date.parse(`${seconds}${zone}`) * 1_000 + Number(fraction.padEnd(6, '0'))
}

function millis({ started_at: from, ended_at: to }: Row): number | null {
  return from == null || to == null ? null : Math.ceil((micros(to) - micros(from)) / 1_000)
}

const ofMessage: View = {
  seq: 'seq',
  runId: 'run_id',
  role: 'role',
  kind: 'kind',
  content: 'content',
  at: 'created_at',
  state: () => 'entered',
}

const ofCall: View = {
  callId: 'call_id',
  runId: 'run_id',
  step: 'step',
  index: 'index',
  name: 'name',
  input: 'input',
  effect: 'effect',
  state: 'state',
  output: 'output',
  attempts: 'attempts',
  epoch: 'epoch',
  idempotencyKey: 'idempotency_key',
  isError: (row) => ['failed', 'denied', 'sealed'].includes(String(row['state'])),
  approval: 'approval',
  startedAt: 'started_at',
  endedAt: 'ended_at',
  durationMs: millis,
  auditTrail: 'audit',
}

const ofRun = (agent: Row): View => ({
  id: 'run_id',
  agentId: () => agent['id'],
  agentUid: 'agent_uid',
  state: 'state',
  stopReason: 'stop_reason',
  cause: 'cause',
  retryOf: 'retry_of',
  wait: () => null,
  dueAt: 'due_at',
  step: 'step',
  modelCalls: 'model_calls',
  toolCalls: 'tool_calls',
  attempt: 'attempt',
  crashes: 'crashes',
  slices: 'slices',
  workMs: 'work_ms',
  limits: 'limits',
  overrides: 'overrides',
  expiresAt: () => null,
  metadata: 'metadata',
  usage: 'usage',
  costMicros: 'cost_micros',
  costUsd: (row) => Number(row['cost_micros']) / 1_000_000,
  reservedMicros: 'reserved_micros',
  template: () => agent['template'],
  templateVersionOpened: 'template_opened',
  templateVersionLast: 'template_last',
  output: 'output',
  error: 'error',
  stopRequested: 'stop_requested',
  stopNote: 'stop_note',
  lease: () => null,
  firstSeq: 'first_event_seq',
  lastSeq: () => agent['last_event_seq'],
  createdAt: 'created_at',
  startedAt: 'started_at',
  endedAt: 'ended_at',
  updatedAt: 'updated_at',
})

const setting = (name: string) => (agent: Row) => (isObject(agent['settings']) ? agent['settings'][name] : undefined)
const costOf = (runs: readonly Row[]): number => runs.reduce((sum, run) => sum + Number(run['cost_micros']), 0)
const ofAgent = (runs: readonly Row[]): View => ({
  id: 'id',
  agentUid: 'agent_uid',
  template: 'template',
  templateVersion: setting('templateVersion'),
  model: setting('model'),
  state: 'state',
  steps: 'steps',
  queued: 'queued',
  activeRunId: 'active_run',
  metadata: 'metadata',
  overrides: 'overrides',
  expiresAt: 'expires_at',
  alwaysAllowed: 'always_allowed',
  webhook: 'webhook',
  userId: 'owner_id',
  messages: 'last_message_seq',
  lastSeq: 'last_event_seq',
  windowFrom: 'window_from',
  windowTokens: 'window_tokens',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  runs: () => runs.length,
  costMicros: () => costOf(runs),
  costUsd: () => costOf(runs) / 1_000_000,
})

const ofApproval = (agent: Row): View => ({
  id: 'id',
  state: 'state',
  kind: 'kind',
  agentId: () => agent['id'],
  agentUid: 'agent_uid',
  template: () => agent['template'],
  userId: 'owner_id',
  runId: 'run_id',
  callId: 'call_id',
  tool: 'tool',
  input: 'input',
  editedInput: 'edited_input',
  reason: 'reason',
  defaultDecision: 'default_decision',
  expiresAt: 'expires_at',
  decidedBy: 'decided_by',
  decidedAt: 'decided_at',
  note: 'note',
  createdAt: 'created_at',
})

const ofAudit: View = {
  id: 'id',
  at: 'at',
  actor: 'actor',
  action: 'action',
  decision: 'decision',
  code: 'code',
  reason: 'reason',
  scope: 'scope',
  agentId: 'agent_id',
  agentUid: 'agent_uid',
  runId: 'run_id',
  callId: 'call_id',
  estimateMicros: 'estimate_micros',
  costMicros: 'cost_micros',
  totalMicros: 'total_micros',
  requestId: 'request_id',
  traceId: 'trace_id',
  data: 'data',
}

/** An event as it is told: its own fields beside those of every event. */
const told = ({ seq, at, channel, type, run_id: runId, step, data }: Row): Row => ({
  at,
  runId,
  step,
  ...(data as Row),
  seq,
  type,
  channel,
})

/** Where what was read is not what the rows say, in words. */
function unlike(what: string, read: readonly Row[], rows: readonly Row[], view: View): string[] {
  if (read.length !== rows.length) return [`a client reads ${read.length} ${what}, there are ${rows.length}`]
  return read.flatMap((one, index) => {
    const row = rows[index] ?? {}
    return [...new Set([...Object.keys(view), ...Object.keys(one)])].flatMap((field) => {
      const from = view[field]
      const expected = typeof from === 'string' ? row[from] : from?.(row)
      if (isDeepStrictEqual(one[field], expected)) return []
      return [`a client reads ${field} of ${what} ${index + 1} as ${JSON.stringify(one[field])}, the row says ${JSON.stringify(expected)}`]
    })
  })
}

function unlikeEvents(who: string, read: readonly Row[], rows: readonly Row[]): string[] {
  const seqs = (list: readonly Row[]): string => list.map((one) => `${String(one['seq'])} ${String(one['type'])}`).join()
  if (seqs(read) !== seqs(rows)) return [`${who} reads the events ${seqs(read)}, the rows are ${seqs(rows)}`]
  return read.flatMap((one, index) => {
    const expected = told(rows[index] ?? {})
    return isDeepStrictEqual(one, expected) ? [] : [`${who} reads ${JSON.stringify(one)}, the row says ${JSON.stringify(expected)}`]
  })
}

/** The text of an assistant message. */
function textOf({ content }: Row): string {
  if (typeof content === 'string') return content
  const parts = content as { type: string; text?: string }[]
  return parts.flatMap(({ type, text }) => (type === 'text' ? [text] : [])).join('')
}

/** What readers of a stream have seen to the end must be the run's events, and its texts the answers of the conversation. */
export function streamProblems(readers: readonly Reader[], rows: Snapshot): string[] {
  return readers.flatMap((reader, index) => {
    const who = `reader ${index + 1}`
    const events = rowsOf(rows, 'events').filter((row) => row['run_id'] === reader.runId)
    const texts = reader.events.filter(({ type }) => type === 'text_end').map(({ text }) => text)
    const answers = rowsOf(rows, 'messages')
      .filter((row) => row['role'] === 'assistant' && row['run_id'] === reader.runId)
      .map(textOf)
      .filter((text) => text !== '')
    return [
      ...unlikeEvents(who, reader.events, events),
      ...(isDeepStrictEqual(texts, answers)
        ? []
        : [`${who} has the texts ${JSON.stringify(texts)}, stored are ${JSON.stringify(answers)}`]),
    ]
  })
}

/** What callers were told of the end of their run must be what its row says. */
export function replyProblems(replies: readonly Reply[], rows: Snapshot): string[] {
  return replies.flatMap(({ status, body }) => {
    if (status !== 200 && body['final'] !== true) return []
    const run = rowsOf(rows, 'runs').find((row) => row['run_id'] === body['runId'])
    const said = {
      state: (body['run'] as Row | undefined)?.['state'],
      stopReason: body['stopReason'],
      costMicros: body['costMicros'],
      usage: body['usage'],
    }
    const kept = { state: run?.['state'], stopReason: run?.['stop_reason'], costMicros: run?.['cost_micros'], usage: run?.['usage'] }
    const output = status !== 200 || body['output'] === (run?.['output'] ?? '')
    return isDeepStrictEqual(said, kept) && output ? [] : [`a caller was told ${JSON.stringify(body)}, the row says ${JSON.stringify(run)}`]
  })
}

/** What a client reads, field by field, must be what the rows say. `read` gets a path's JSON. */
export async function readProblems(agent: string, rows: Snapshot, read: (path: string) => Promise<Row>): Promise<string[]> {
  const list = async (path: string): Promise<Row[]> => (await read(path))['data'] as Row[]
  const of = `/api/agents/${agent}`
  const [row = {}] = rowsOf(rows, 'agents')
  const by = (name: string, key: string): Row[] => rowsOf(rows, name).toSorted((a, b) => (String(a[key]) < String(b[key]) ? -1 : 1))
  const [{ links: _signed, ...one }, events, messages, calls, runs, approvals, audit] = await Promise.all([
    read(of),
    list(`${of}/events?after=0&limit=200`),
    list(`${of}/messages?limit=200`),
    list(`${of}/tool-calls?limit=200`),
    list(`${of}/runs?order=asc&limit=200`),
    list(`/api/approvals?agent=${agent}&limit=200`),
    list(`/api/audit?agent=${agent}&order=asc&limit=200`),
  ])
  const entries = rowsOf(rows, 'audit')
    .filter((entry) => entry['agent_id'] === agent)
    .toSorted((a, b) => micros(a['at']) - micros(b['at']) || Number(a['id']) - Number(b['id']))
  return [
    ...unlike('agent', [one], [row], ofAgent(rowsOf(rows, 'runs'))),
    ...unlikeEvents('a client', events, rowsOf(rows, 'events')),
    ...unlike('messages', messages, rowsOf(rows, 'messages'), ofMessage),
    ...unlike('calls', calls, by('tool_calls', 'call_id'), ofCall),
    ...unlike('runs', runs, by('runs', 'run_id'), ofRun(row)),
    ...unlike('approvals', approvals, by('approvals', 'id'), ofApproval(row)),
    ...unlike('audit entries', audit, entries, ofAudit),
  ]
}
