import { setTimeout as sleep } from 'node:timers/promises'
import { poll } from '#local/poll'
import { violations } from '#scripts/chaos/violations'
import type { Point } from '#tests/crash/life'
import type { Scenario } from '#tests/crash/scenario'
import { Reader } from '#tests/crash/reader'
import { readProblems, replyProblems, streamProblems } from '#tests/crash/reads'
import type { Receiver } from '#scripts/chaos/receiver'
import { rowsOf, type Snapshot } from '#tests/crash/snapshot'
import { Broken, type Stage } from '#tests/crash/stage'
import { script, type Answer, type Reply, type SendOptions } from '#tests/world'

/** What a scenario can do: it behaves like a good client, whatever dies. */
export interface Play {
  agent: string
  /** Where webhooks go. */
  hook: string
  /** Sends a message under one Idempotency-Key until somebody answers. */
  send(answers: readonly Answer[], options?: SendOptions): Promise<Reply>
  /**
   * Sends a message and follows it as a stream to the end of its run, and somebody else does on the other server. Neither misses or doubles
   * anything, whatever breaks: what they have seen is compared with the rows.
   */
  follow(answers: readonly Answer[]): { readers: readonly Reader[]; over: Promise<unknown> }
  /** Decides whatever a person is asked until all runs have ended. Throws where nobody was asked. */
  decideAll(decision: object): Promise<void>
  /** Holds calls of that name back until the returned function is called. */
  gate(call: string): () => void
  /** Until so many calls of that name have been made. */
  called(call: string, times: number): Promise<void>
  /** Makes a request until somebody answers. */
  act(method: string, path: string, body?: unknown): Promise<Reply>
  until(what: string, question: () => Promise<boolean>): Promise<void>
  /** Until the effects log shows this tool, or `model`, so often in different steps. */
  effect(name: string, times: number): Promise<void>
  /** Ids of the pending approvals, in the order of their calls. */
  pending(): Promise<string[]>
  /** States of the agent's runs, the oldest first. */
  states(): Promise<string[]>
  /** Id of the n-th run, from 1. */
  runId(nth: number): Promise<string>
  /** Path of the callback of the one call that waits outside. */
  callback(): Promise<string>
  allEnded(): Promise<void>
  /** Until so many different webhooks have come. */
  told(events: number): Promise<void>
  /** Moves the clock of everybody. */
  advance(ms: number): Promise<void>
}

/** What came of one performance. */
export interface Outcome {
  calls: string[]
  /** False when the first point was not reached. */
  died: boolean
  problems: string[]
  /** How often those who follow were told to drop what they had of a step. */
  resets: number
  left: Snapshot
}

const patience = { everyMs: 15, forMs: 60_000 }
const netEveryMs = 60

/** Performs a scenario with these deaths beside its own and takes what is left. `agent` is a name that nobody has used. */
export async function perform(
  stage: Stage,
  receiver: Receiver,
  scenario: Scenario,
  agent: string,
  points: readonly Point[],
): Promise<Outcome> {
  const { world } = stage
  await stage.begin([...points, ...(scenario.deaths ?? [])], agent, scenario.env ?? {})
  const over = new AbortController()
  const net = catchWhatFalls(stage, over.signal)
  const seen: Seen = { readers: [], replies: [] }
  let died = false
  let calls: string[] = []
  try {
    await scenario.play(acting(stage, receiver, agent, seen))
    await quiet(stage, agent)
    const deaths = await stage.end()
    died = points.length > 0 && deaths[0] === true
    calls = [...stage.calls()]
  } finally {
    over.abort()
    await net
  }
  const [row] = await world.sql<{ uid: string }>('select agent_uid as uid from baton.agents where id = $1', [agent])
  const rows = await rowsOf(world, row?.uid ?? '', agent)
  const runs = new Set(rows['runs']?.map((run) => String(run['run_id'])))
  const effects = (await stage.effects()).filter((line) => runs.has(line.runId))
  const problems = await violations({ sql: world.sql, effects, agents: [agent] })
  const read = async (path: string): Promise<Record<string, unknown>> => {
    const answer = await stage.look(new Request(`${world.base()}${path}`, { headers: { accept: 'application/json' } }))
    return (await answer.json()) as Record<string, unknown>
  }
  problems.push(...(await readProblems(agent, rows, read)), ...streamProblems(seen.readers, rows), ...replyProblems(seen.replies, rows))
  for (const row of await world.sql('select * from baton.audit_failures')) problems.push(`an audit entry failed: ${JSON.stringify(row)}`)
  const webhooks = receiver.arrivals
    .filter(({ runId }) => runs.has(runId))
    .map(({ id, text }) => ({ id, body: JSON.parse(text) as unknown }))
  const resets = seen.readers.reduce((sum, reader) => sum + reader.resets, 0)
  return { calls, died, problems, resets, left: { ...rows, effects: effects.map((line) => ({ ...line })), webhooks } }
}

async function catchWhatFalls(stage: Stage, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await sleep(netEveryMs, undefined, { signal: over }).catch(() => undefined) // it is over
    await stage.net()
  }
}

async function must(what: string, question: () => Promise<boolean>, explain?: () => Promise<unknown>): Promise<void> {
  if (!(await poll(question, patience)))
    throw new Error(`not within ${patience.forMs} ms: ${what}; ${explain === undefined ? '' : JSON.stringify(await explain())}`)
}

const openWork = `select (select count(*) from baton.outbox o where o.agent_uid = a.agent_uid and o.sent_at is null)
  + (select count(*) from baton.webhook_deliveries d where d.agent_uid = a.agent_uid and d.state = 'pending')
  + (select count(*) from baton.runs r where r.agent_uid = a.agent_uid and r.ended_at is null) + (a.lease_owner is not null)::int as open
  from baton.agents a where a.id = $1`

/** Until nothing is left to do for the agent. */
async function quiet({ world }: Stage, agent: string): Promise<void> {
  await must(
    `${agent} is quiet`,
    async () => Number((await world.sql<{ open: string }>(openWork, [agent]))[0]?.open) === 0,
    () =>
      world.sql('select o.id, o.kind, o.due_at, o.sent_at from baton.outbox o join baton.agents a using (agent_uid) where a.id = $1', [
        agent,
      ]),
  )
}

/** What callers have got. */
interface Seen {
  readers: Reader[]
  replies: Reply[]
}

function acting(stage: Stage, receiver: Receiver, agent: string, seen: Seen): Play {
  const { world } = stage
  let sends = 0
  let turn = 0

  async function request(method: string, path: string, body: unknown, headers: Record<string, string>): Promise<Reply> {
    let last = ''
    for (let attempt = 0; attempt < 200; attempt++) {
      const json = body === undefined ? {} : { body: JSON.stringify(body) }
      try {
        const asked = new Request(`${world.base()}${path}`, {
          method,
          headers: { 'content-type': 'application/json', ...headers },
          ...json,
        })
        const answer = await stage.ask((turn + attempt) % 2, asked)
        const text = await answer.text()
        if (answer.status < 500)
          return { status: answer.status, headers: answer.headers, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
        last = `${answer.status} ${text}`
        // The end of a run that failed for good is no fault of the server.
        if (text.includes('"final":true'))
          return { status: answer.status, headers: answer.headers, body: JSON.parse(text) as Record<string, unknown> }
      } catch (error) {
        if (!(error instanceof Broken)) throw error
        last = error.message
      }
      await sleep(20)
    }
    throw new Error(`nobody answers ${method} ${path}: ${last}`)
  }
  const runs = (): Promise<{ run_id: string; state: string; ended_at: string | null }[]> =>
    world.sql(
      'select r.run_id, r.state, r.ended_at from baton.runs r join baton.agents a using (agent_uid) where a.id = $1 order by r.created_at, r.run_id',
      [agent],
    )

  return {
    agent,
    hook: receiver.url,
    async send(answers, { prefer = 'wait=20', template = 'scripted', ...body } = {}) {
      const key = `${agent}-${(sends += 1)}`
      const sent = await request(
        'POST',
        `/api/agents/${agent}/messages`,
        { message: script(...answers), template, ...body },
        { prefer, 'idempotency-key': key },
      )
      if (sent.status >= 400 && sent.body['final'] !== true) throw new Error(`${sent.status} ${JSON.stringify(sent.body)}`)
      seen.replies.push(sent)
      return sent
    },
    follow(answers) {
      const [near, far] = [new Reader(), new Reader()]
      seen.readers.push(near, far)
      const key = `${agent}-${(sends += 1)}`
      const body = JSON.stringify({ message: script(...answers), template: 'scripted' })
      const events = (): string => `${world.base()}/api/runs/${near.runId}/events`
      const asks = { accept: 'text/event-stream', 'content-type': 'application/json', 'idempotency-key': key }
      const message = (): Request => new Request(`${world.base()}/api/agents/${agent}/messages`, { method: 'POST', headers: asks, body })
      const nearEnd = near.toTheEnd((attempt, headers) =>
        stage.ask(attempt % 2, near.runId === null ? message() : new Request(events(), { headers: { ...headers, accept: asks.accept } })),
      )
      const farEnd = must('the run is known', async () => near.runId !== null).then(() => {
        far.runId = near.runId
        return far.toTheEnd((attempt, headers) =>
          stage.ask((attempt + 1) % 2, new Request(events(), { headers: { ...headers, accept: asks.accept } })),
        )
      })
      return { readers: [near, far], over: Promise.all([nearEnd, farEnd]) }
    },
    async decideAll(decision) {
      let decided = 0
      await must('all is decided and has ended', async () => {
        for (const id of await this.pending()) {
          await this.act('POST', `/api/approvals/${id}`, decision)
          decided += 1
        }
        return (await runs()).length > 0 && (await runs()).every((run) => run.ended_at !== null)
      })
      if (decided === 0) throw new Error('nobody was asked')
    },
    gate: (call) => stage.gate(call),
    called: (call, times) => must(`${call} ${times}`, async () => stage.calls().filter((name) => name === call).length >= times),
    async act(method, path, body) {
      turn += 1
      const done = await request(method, path, body, { 'idempotency-key': `${agent}-act-${turn}` })
      // Asked again after an answer was lost: it has been done.
      const wasDone = done.body['code'] === 'already_decided' || done.body['code'] === 'switch_not_found'
      if (done.status >= 300 && !wasDone) throw new Error(`${method} ${path}: ${done.status} ${JSON.stringify(done.body)}`)
      return done
    },
    until: (what, question) => must(what, question, async () => [await runs(), seen.readers]),
    async effect(name, times) {
      await must(`${name} ${times}`, async () => {
        const ids = new Set((await runs()).map((run) => run.run_id))
        const lines = (await stage.effects()).filter(
          (line) => ids.has(line.runId) && (name === 'model' ? line.kind === name : line.name === name),
        )
        return new Set(lines.map((line) => `${line.runId} ${line.step} ${line.callId ?? ''}`)).size >= times
      })
    },
    async pending() {
      const rows = await world.sql<{ id: string }>(
        `select v.id from baton.approvals v join baton.agents a using (agent_uid) join baton.tool_calls c on c.agent_uid = v.agent_uid and c.call_id = v.call_id
        where a.id = $1 and v.state = 'pending' order by c.step, c.index`,
        [agent],
      )
      return rows.map((row) => row.id)
    },
    states: async () => (await runs()).map((run) => run.state),
    async runId(nth) {
      const run = (await runs())[nth - 1]
      if (run === undefined) throw new Error(`there is no run ${nth}`)
      return run.run_id
    },
    async callback() {
      const calls = await request('GET', `/api/agents/${agent}/tool-calls`, undefined, {})
      const [url] = (calls.body['data'] as { callbackUrl?: string }[]).flatMap((call) => call.callbackUrl ?? [])
      if (url === undefined) throw new Error('no call waits outside')
      return url.slice(new URL(url).origin.length)
    },
    allEnded: () => must(`all runs of ${agent} have ended`, async () => (await runs()).every((run) => run.ended_at !== null), runs),
    async told(events) {
      await must(`${events} webhooks`, async () => {
        const ids = new Set((await runs()).map((run) => run.run_id))
        return new Set(receiver.arrivals.filter(({ runId }) => ids.has(runId)).map(({ id }) => id)).size >= events
      })
    },
    advance: (ms) => stage.advance(ms),
  }
}
