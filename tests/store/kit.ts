import pg from 'pg'
import { inject } from 'vitest'
import { BatonError } from '#lib/core/errors'
import type { AgentUid, RunId } from '#lib/core/ids'
import { defaultLimits } from '#lib/core/limits'
import type { Store } from '#lib/core/pages'
import type { AgentSettings } from '#lib/core/run'
import type { CallWrite, Commit, CommitAnswer, Happened, Intends, NewMessage } from '#lib/core/commit'
import type { Authority, ClaimAnswer, ClaimRequest, Credential, OpenAnswer, OpenRequest } from '#lib/core/store'
import { estimateTokens, jsonBytes } from '#lib/core/window'
import { supabaseRpc, type Rpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'
import { systemClock } from '#lib/system/clock'
import { systemIds } from '#lib/system/ids'
import { createDatabase, dropDatabase } from '#local/database'
import { poll } from '#local/poll'
import { toNextDay } from '#tests/day'
import { restWhereAsked } from '#tests/rests'
import { startDoor, type Door } from '#tests/store/door'

export const ids = systemIds()

/** A store over HTTP on a database of its own. */
export interface StoreKit {
  store: Store
  rpc: Rpc
  door: Door
  databaseUrl: string
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** Moves the database's clock. */
  advance(ms: number): Promise<void>
  close(): Promise<void>
}

/** Starts a store of `tenant` one in environment `test` and `other` in environment `elsewhere`. */
export async function startStore(): Promise<StoreKit> {
  const cluster = inject('clusterUrl')
  const name = `baton_store_${ids.uuid().replaceAll('-', '')}`
  const databaseUrl = await createDatabase(cluster, name, inject('template'))
  const door = await startDoor(databaseUrl)
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 })
  pool.on('error', () => undefined) // the database is dropped at the end, whoever is connected
  const rpc = supabaseRpc({ url: door.url, secretKey: door.secretKey, clock: systemClock() })
  /** Who waits for a lock that a machine at rest would have given back is told so by a time-out; it has done nothing then, and asks again as clients do. */
  const patient: Rpc = async (name, argument) => {
    for (let more = 10; ; more--) {
      try {
        return await rpc(name, argument)
      } catch (error) {
        if (more === 0 || !(error instanceof BatonError) || error.code !== 'idempotency_busy') throw error
      }
    }
  }
  const store = createStore(patient)
  await store.ensureTenant({ id: 'one', environment: 'test', secret: 'sealed' })
  await store.ensureTenant({ id: 'other', environment: 'elsewhere', secret: 'sealed' })
  const kit: StoreKit = {
    store,
    rpc,
    door,
    databaseUrl,
    sql: async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) => (await pool.query<Row>(text, values)).rows,
    advance: async (ms) => void (await pool.query('update baton.local_clock set offset_ms = offset_ms + $1', [ms])),
    async close() {
      await pool.end()
      await door.close()
      await dropDatabase(cluster, name)
    },
  }
  await toNextDay(kit, 1_800_000)
  await restWhereAsked(kit)
  return kit
}

/** Who asks in these tests: the operator of tenant one, unless a test says otherwise. */
export const authority: Authority = { environment: 'test', credential: { operator: { tenant: 'one', name: 'tester' } }, requestId: null }
/** A signed-in user of tenant one. */
export const asUser = (id: string): Credential => ({ user: { id, tenant: 'one' } })

export const settings: AgentSettings = {
  public: true,
  template: 'plain',
  templateVersion: 'v1',
  model: 'test/model',
  price: { inputMicrosPerMillion: 3_000_000, outputMicrosPerMillion: 15_000_000 },
  limits: defaultLimits,
  maxQueued: 5,
  onBusy: 'enqueue',
  window: { maxTokens: 89_600, maxMessages: 200, keepFirst: 0 },
  maxOutputTokens: 1_000,
  instructionTokens: 100,
}

export function message(role: NewMessage['role'], content: NewMessage['content']): NewMessage {
  const bytes = jsonBytes(content)
  return { role, content, bytes, estTokens: estimateTokens(bytes) }
}

/** A message to an agent; `execute` asks for the lease with it. */
export function openRequest(agent: string, over: Partial<OpenRequest> & { execute?: OpenRequest['execute'] } = {}): OpenRequest {
  return {
    ...authority,
    agent: { name: agent, uid: ids.uuid(), mustExist: false, template: null },
    versions: { plain: 'v1' },
    settings,
    run: { id: ids.make('run'), limits: null, metadata: {}, webhook: null, traceparent: null },
    onBusy: null,
    message: message('user', `hello ${agent}`),
    idempotency: null,
    execute: null,
    ...over,
  }
}

export function execution(micros: number | null = 1_000): NonNullable<OpenRequest['execute']> {
  return { sliceId: ids.make('slice'), leaseMs: 30_000, reserve: { id: ids.make('res'), step: 1, attempt: 0, model: 'test/model', micros } }
}

export function claimRequest(agentUid: AgentUid, over: Partial<ClaimRequest> = {}): ClaimRequest {
  const sliceId = ids.make('slice')
  const rest = { versions: { plain: 'v1' }, settings: null, jitter: 0, haste: 1, maxStepCrashes: 3, maxFormat: 1 }
  return { environment: 'test', agentUid, sliceId, leaseMs: 30_000, ...rest, ...over }
}

/** A slice that holds an agent, as the executor sees it. */
export interface Held {
  agentUid: AgentUid
  runId: RunId
  sliceId: Commit['sliceId']
  epoch: number
  answer: OpenAnswer | ClaimAnswer
}

/** The answer as a value, or an error that names the refusal. */
export function ok<Answer extends { ok: boolean }>(answer: Answer): Extract<Answer, { ok: true }> {
  if (!answer.ok) throw new Error(`refused: ${JSON.stringify(answer)}`)
  return answer as Extract<Answer, { ok: true }>
}

/** Opens a run with its lease. */
export async function hold(kit: StoreKit, agent: string, over: Partial<OpenRequest> = {}): Promise<Held> {
  const execute = over.execute ?? execution()
  const answer = ok(await kit.store.open(openRequest(agent, { ...over, execute })))
  if (answer.opened === undefined) throw new Error('the agent was busy')
  return { agentUid: answer.agentUid, runId: answer.run.id, sliceId: execute.sliceId, epoch: answer.opened.lease.epoch, answer }
}

/** Takes over a due agent. */
export async function take(kit: StoreKit, agentUid: AgentUid, over: Partial<ClaimRequest> = {}): Promise<Held> {
  const request = claimRequest(agentUid, over)
  const answer = ok(await kit.store.claim(request))
  return { agentUid, runId: answer.opened.run.id, sliceId: request.sliceId, epoch: answer.opened.lease.epoch, answer }
}

export function commitOf(held: Held, happened: Happened, intends: Intends = {}): Commit {
  const { agentUid, sliceId, epoch } = held
  return { commitId: ids.make('commit'), agentUid, sliceId, epoch, leaseMs: 30_000, happened, intends }
}

export async function commit(kit: StoreKit, held: Held, happened: Happened, intends: Intends = {}): Promise<CommitAnswer> {
  return ok(await kit.store.commit(commitOf(held, happened, intends)))
}

export const completed: Intends = { end: { state: 'completed', stopReason: 'end_turn', output: 'bye', error: null } }

/** The step of a plain answer. */
export function answered(text = 'bye'): Happened {
  return { messages: [message('assistant', [{ type: 'text', text }])], count: { step: 1, steps: 1, modelCalls: 1 } }
}

export function toolCall(index: number, over: Partial<CallWrite> = {}): CallWrite {
  const callId = ids.make('call')
  return {
    callId,
    step: 1,
    index,
    name: 'echo',
    input: { value: index },
    effect: 'pure',
    idempotencyKey: callId,
    state: 'pending',
    output: null,
    ...over,
  }
}

/** What `second` answers that was asked while the transaction of the verb `first` was not over. */
export async function beside<Answer>(kit: StoreKit, first: string, request: object, second: () => Promise<Answer>): Promise<Answer> {
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`select public.baton_${first}($1::jsonb)`, [JSON.stringify(request)])
    let answered = false
    const asked = second().finally(() => (answered = true))
    const waits = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    await poll(async () => answered || (await kit.sql(waits)).length > 0, { everyMs: 10, forMs: 60_000 })
    await client.query('commit')
    return await asked
  } finally {
    await client.end()
  }
}
