import { afterAll, beforeAll, expect, test } from 'vitest'
import { violations } from '#scripts/chaos/violations'
import { script, startWorld, type World } from '#tests/world'

const usage = { input: 1_000, output: 100 }

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2, env: { BATON_SWEEP_EVERY: '1s' } })
})
afterAll(() => world.close())

const check = async (...agents: string[]): Promise<void> => {
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: agents })).toEqual([])
}

async function begun(runId: string, name: string): Promise<void> {
  await expect.poll(async () => (await world.effects({ runId })).some((line) => line.name === name), { timeout: 60_000 }).toBe(true)
}

async function lastSeq(agent: string): Promise<unknown> {
  return world.sql(
    `select last_event_seq::int as events, last_message_seq::int as messages, version::int, lease_epoch::int as epoch from baton.agents where id = $1`,
    [agent],
  )
}

/** The clock of leases moves past this one, while the executor's own clocks stand where they were: it is a zombie that does not know. */
test('invariant 2: an executor that was overtaken without knowing it commits nothing, and its late result is dropped', async () => {
  const gate = world.gate()
  const sent = world.send(
    'overtaken',
    script(
      {
        tools: [
          { name: 'stubborn', input: { ms: 0, gate: gate.file } },
          { name: 'charge', input: { key: 'overtaken', cents: 5 } },
        ],
        usage,
      },
      { text: 'finished', usage },
    ),
    {
      prefer: 'wait=20',
      server: 0,
    },
  )
  await expect
    .poll(async () => (await world.effects()).filter((line) => line.agentId === 'overtaken' && line.kind === 'tool').length, {
      timeout: 60_000,
    })
    .toBe(2)
  await expect
    .poll(async () => (await world.sql(`select 1 from baton.tool_calls where name = 'charge' and state = 'completed'`)).length, {
      timeout: 60_000,
    })
    .toBe(1)
  // Its heartbeat comes every two seconds; in between the lease runs out and somebody else takes over.
  await world.sql(`update baton.agents set lease_until = baton.clock(), lease_owner = 'slice_gone' where id = 'overtaken'`)
  // The two results come together: that of the zombie, and that of the one who repeats the call.
  const began = async () => (await world.effects()).filter((line) => line.agentId === 'overtaken' && line.name === 'stubborn').length
  await expect.poll(began).toBe(2)
  await gate.open()
  const reply = await sent
  const run = await world.ended(String(reply.body['runId']))
  expect(run).toMatchObject({ state: 'completed', output: 'finished', slices: 2 })
  expect(await world.effects({ key: 'overtaken' })).toHaveLength(1)
  await check('overtaken')
})

test('invariant 2: a frozen executor wakes up after the take-over: it commits nothing, emits nothing, and once stays once', async () => {
  const gate = world.gate()
  const reply = await world.send(
    'frozen',
    script(
      {
        tools: [
          { name: 'charge', input: { key: 'frozen', cents: 5 } },
          { name: 'wait', input: { ms: 0, gate: gate.file } },
        ],
        usage,
      },
      { text: 'finished', chunks: 4, chunkDelayMs: 100, usage },
    ),
    { prefer: 'wait=0', server: 0 },
  )
  const runId = String(reply.body['runId'])
  await begun(runId, 'wait')
  await expect
    .poll(
      async () =>
        (await world.sql(`select 1 from baton.tool_calls where run_id = $1 and name = 'charge' and state = 'completed'`, [runId])).length,
      { timeout: 60_000 },
    )
    .toBe(1)
  const pid = (await world.effects({ runId })).find((line) => line.name === 'wait')?.pid
  const frozen = world.stack.info.pids.servers.indexOf(pid ?? -1)
  expect(frozen).toBeGreaterThanOrEqual(0)
  await world.stack.kill(`server-${frozen}`, 'SIGSTOP')
  await gate.open()
  try {
    // The other server's clock is the real one: this only saves the six seconds of the lease.
    await world.http('POST', '/api/local/time', { advanceMs: 7_000 }, {}, 1 - frozen)
    // A message to the agent finds the dead lease at once: no need to wait for a sweep that hangs at the frozen server.
    await world.send('frozen', script({ text: 'second', usage }), { prefer: 'wait=0', onBusy: 'enqueue', server: 1 - frozen })
    await expect
      .poll(
        async () =>
          (
            await world.sql<{ ended: number }>(
              `select count(*)::int as ended from baton.runs r join baton.agents a using (agent_uid) where a.id = 'frozen' and r.ended_at is not null`,
            )
          )[0]?.ended,
        { timeout: 60_000 },
      )
      .toBe(2)
  } finally {
    const left = await lastSeq('frozen')
    await world.stack.kill(`server-${frozen}`, 'SIGCONT')
    // It works again, and longer than the tool had left when it froze: the late result has come and been dropped.
    const awake = await world.send('awake', script({ tools: [{ name: 'wait', input: { ms: 1_000 } }] }, { text: 'finished' }), {
      prefer: 'wait=20',
      server: frozen,
    })
    expect(awake.body).toMatchObject({ status: 'done', output: 'finished' })
    expect(await lastSeq('frozen')).toEqual(left)
  }
  expect(world.stack.info.pids.servers[frozen], 'the zombie lives on').toBe(pid)
  expect(await world.run(runId)).toMatchObject({ state: 'completed', output: 'finished' })
  expect(await world.effects({ key: 'frozen' })).toHaveLength(1)
  await check('frozen')
})

test('invariant 2: what a stale epoch asks of the database is refused and changes nothing', async () => {
  const gate = world.gate()
  const held = { tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }], usage }
  const reply = await world.send('stale', script(held, { text: 'finished', usage }), { prefer: 'wait=0' })
  const runId = String(reply.body['runId'])
  await begun(runId, 'wait')
  const [agent] = await world.sql<{ agent_uid: string; lease_owner: string; lease_epoch: string }>(
    `select agent_uid, lease_owner, lease_epoch from baton.agents where id = 'stale'`,
  )
  const before = await lastSeq('stale')
  const forged = { agentUid: agent?.agent_uid, sliceId: agent?.lease_owner, leaseMs: 6_000, epoch: Number(agent?.lease_epoch) - 1 }
  const happened = {
    messages: [{ role: 'assistant', content: 'forged', bytes: 6, estTokens: 2 }],
    events: [{ channel: 'progress', type: 'text_end', data: {} }],
  }
  const [commit] = await world.sql<{ answer: unknown }>(`select baton.commit_step($1) as answer`, [
    JSON.stringify({ ...forged, commitId: 'commit_forged', happened, intends: {} }),
  ])
  const [renew] = await world.sql<{ answer: unknown }>(`select baton.renew($1) as answer`, [JSON.stringify(forged)])
  expect(commit?.answer).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(renew?.answer).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(await lastSeq('stale')).toEqual(before)
  await gate.open()
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'finished' })
  await check('stale')
})
