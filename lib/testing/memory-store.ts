import { isWaiting } from '#lib/core/decide'
import { keepValues, project, resultMessage, startedCall } from '#lib/core/project'
import { isFinal, type EndState, type Opened, type RunState, type StopReason, type StoredMessage, type ToolCall } from '#lib/core/run'
import type { Verdict } from '#lib/core/budget'
import type { Commit, CommitAnswer, NewEvent, Reservation, RunError, Settlement } from '#lib/core/commit'
import type { EngineStore } from '#lib/core/store'

/** What the store knows of its one run. */
export interface MemoryStore extends Pick<EngineStore, 'commit' | 'renew' | 'settle'> {
  /** The run as a claim would hand it out, under a new epoch. */
  claim(): Opened
  /** Calls that a person or the outside must answer, and what answers them. */
  waiting(): ToolCall[]
  answer(callId: string, change: Pick<ToolCall, 'state' | 'output'>): void
  end(): { state: EndState; stopReason: StopReason; output: string | null; error: RunError | null } | null
  messages: StoredMessage[]
  calls: ToolCall[]
  events: NewEvent[]
  values: Record<string, unknown>
  costMicros(): number
}

/**
 * One run in memory, for tests of templates: it commits by the same pure `project` that executors plan with. It has one writer, so
 * it knows no lease, no stop and no queue; what Postgres does about those is tested against Postgres.
 */
export function memoryStore(first: Opened): MemoryStore {
  let row = structuredClone(first)
  const messages = [...row.window]
  const events: NewEvent[] = []
  const calls = new Map<string, ToolCall>()
  const reserved = new Map<string, number>()
  let end: ReturnType<MemoryStore['end']> = null

  function settle(settlements: readonly Settlement[] = []): void {
    for (const { id, costMicros } of settlements) {
      row.run.costMicros += costMicros ?? reserved.get(id) ?? 0
      reserved.delete(id)
    }
  }
  const held = (): number => [...reserved.values()].reduce((sum, micros) => sum + micros, 0)
  function reserve(entry: Reservation | undefined): Verdict['reserved'] {
    if (entry === undefined || entry.micros === null) return 'none'
    if (row.run.costMicros + held() + entry.micros > row.run.limits.maxCostMicros) return 'refused'
    reserved.set(entry.id, entry.micros)
    return 'granted'
  }
  /** Numbers what `project` has added to the window; its results are what entered beside the executor's own messages. */
  function enter(window: readonly StoredMessage[]): StoredMessage[] {
    const added = window.filter((message) => message.seq === 0).map((message, index) => ({ ...message, seq: messages.length + index + 1 }))
    messages.push(...added)
    return added
  }
  function sealOpen(): void {
    const open = row.calls.map((call): ToolCall =>
      isFinal(call.state) ? call : { ...call, state: 'sealed', output: { type: 'error-text', value: 'not executed' } },
    )
    for (const call of open) calls.set(call.callId, call)
    if (open.length > 0) enter([{ seq: 0, runId: row.run.id, ...resultMessage(open) }])
  }
  function start(ids: readonly string[] = []): void {
    row.calls = row.calls.map((call) => (ids.includes(call.callId) ? startedCall(call, row.lease.epoch) : call))
    row.run.toolCalls += ids.length
  }

  function commit({ happened, intends }: Commit): CommitAnswer {
    const firstSeq = events.length + 1
    settle(happened.settle)
    const costMicros = row.run.costMicros
    row = project(row, happened)
    const added = enter(row.window)
    row.window = [...row.window.filter((message) => message.seq > 0), ...added]
    for (const { approval: _asked, note: _note, ...write } of happened.calls ?? []) {
      const { state, output } = write
      calls.set(write.callId, { ...write, runId: row.run.id, attempts: 0, epoch: null, ...calls.get(write.callId), state, output })
    }
    events.push(...(happened.events ?? []))
    keepValues(row.state, happened.values)
    row.run.costMicros = costMicros
    if (intends.window !== undefined) row.windowFrom = intends.window.from
    let state: RunState = 'running'
    if (intends.end !== undefined) {
      end = intends.end
      state = end.state
      settle([...reserved.keys()].map((id) => ({ id, costMicros: null }) as Settlement))
      sealOpen()
    } else if (intends.wait !== undefined) state = 'waiting'
    else start(intends.start)
    const waits = intends.pause === true && state === 'running'
    if (waits) state = row.calls.some((call) => call.state === 'approval_required') ? 'awaiting_approval' : 'waiting'
    const verdict = intends.end === undefined ? reserve(intends.reserve) : 'none'
    row.lastSeq = events.length
    return {
      ok: true,
      firstSeq,
      lastSeq: row.lastSeq,
      allowed: true,
      released: state !== 'running' || intends.release !== undefined,
      steered: false,
      reserved: verdict,
      flags: row.flags,
      state,
      stopReason: end?.stopReason ?? null,
      costMicros: row.run.costMicros,
      reservedMicros: held(),
      toolCalls: row.run.toolCalls,
      windowFrom: row.windowFrom,
      entered: added.filter((message) => message.role === 'tool'),
      enteredFrom: added[0]?.seq ?? null,
      outbox: [],
      decided: [],
      gates: {},
    }
  }

  /** Gives a waiting call what somebody outside has said of it. */
  function answer(callId: string, change: Pick<ToolCall, 'state' | 'output'>): void {
    row.calls = row.calls.map((call) => (call.callId === callId ? { ...call, ...change } : call))
    for (const call of row.calls) calls.set(call.callId, call)
    if (!row.calls.every((call) => isFinal(call.state))) return
    row.window.push(...enter([{ seq: 0, runId: row.run.id, ...resultMessage(row.calls) }]))
    row.calls = []
  }

  return {
    waiting: () => row.calls.filter(isWaiting),
    answer,
    claim() {
      row.lease = { ...row.lease, epoch: row.lease.epoch + 1 }
      row.run.slices += 1
      return structuredClone(row)
    },
    commit: (request) => Promise.resolve(commit(request)),
    renew: (request) => Promise.resolve({ ok: true, flags: row.flags, reserved: reserve(request.reserve) }),
    settle: (request) => Promise.resolve(settle(request.settle)),
    end: () => end,
    messages,
    get calls() {
      return [...calls.values()]
    },
    events,
    get values() {
      return row.state
    },
    costMicros: () => row.run.costMicros,
  }
}
