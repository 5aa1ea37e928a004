import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { violations } from '#scripts/chaos/violations'
import { until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

const usage = { input: 1_000, output: 100 }
const finished = { text: 'finished', usage }

let world: World
beforeAll(async () => {
  // Hard limit after 7 s; no step starts after 5 s; a tool may take 5.6 s, which is 80 % of a whole slice.
  // Nobody dies here, so that a lease may be long: a slow machine keeps it.
  const limits = { BATON_MAX_DURATION_MS: '12000', BATON_HARD_MARGIN_MS: '5000', BATON_SWEEP_EVERY: '1s', BATON_LEASE_MS: '30000' }
  world = await startWorld({ env: limits })
})
afterAll(() => world.close())

const check = async (...agents: string[]): Promise<void> => {
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: agents })).toEqual([])
}
const reasons = async (agent: string): Promise<unknown[]> =>
  (await world.events(agent)).filter((event) => event.type === 'handed_off').map((event) => event['reason'])
async function play(agent: string, ...answers: Parameters<typeof script>): ReturnType<World['ended']> {
  const reply = await world.send(agent, script(...answers), { prefer: 'wait=0' })
  return world.ended(String(reply.body['runId']), 50_000)
}
/** Its gate is opened when the first slice has been cut: the fresh one need not wait. */
async function cutOnce(agent: string, answers: (gate: string) => Parameters<typeof script>): ReturnType<World['ended']> {
  const gate = world.gate()
  const reply = await world.send(agent, script(...answers(gate.file)), { prefer: 'wait=0' })
  await until(`${agent} was cut`, async () => (await reasons(agent)).length > 0)
  await gate.open()
  return world.ended(String(reply.body['runId']), 50_000)
}

describe.concurrent('invariant 6: the hard limit', () => {
  test('nobody waits for a run longer than a function may work', async () => {
    const later = script({ error: { status: 503, times: 1, retryAfter: 600 }, text: 'x' })
    const { body } = await world.send('waited-for', later, { prefer: 'wait=0' })
    const path = `/api/runs/${String(body['runId'])}`
    await until('waited-for waits', async () => (await world.http('GET', path)).body['state'] === 'waiting')
    expect(await world.http('GET', `${path}?wait=300`)).toMatchObject({ status: 200, body: { state: 'waiting' } })
  })

  test('a model call that is cut is repeated once as the first of a fresh slice; cut again, the run fails with step_too_long', async () => {
    const run = await play('too-long', { text: 'never', delayMs: 60_000, usage })
    expect(run).toMatchObject({ state: 'failed', stopReason: 'step_too_long', slices: 2, crashes: 0 })
    expect((await world.effects({ runId: run.id })).map((line) => line.kind)).toEqual(['model', 'model'])
    await check('too-long')
  })

  test('a model call that was cut once and fits into the fresh slice ends the run well', async () => {
    const run = await cutOnce('late', (gate) => [
      { tools: [{ name: 'echo', input: { value: 1 } }], usage },
      { ...finished, gate },
    ])
    expect(run).toMatchObject({ state: 'completed', output: 'finished', slices: 2, crashes: 0 })
    expect(await reasons('late')).toEqual(['hard_limit'])
    await check('late')
  })

  test('a tool that ignores its signal is given up after 1 s, and the model hears that it may still be running', async () => {
    const run = await play(
      'stubborn',
      {
        tools: [
          { name: 'stubborn', input: { ms: 60_000 } },
          { name: 'echo', input: { value: 1 } },
        ],
        usage,
      },
      finished,
    )
    expect(run).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
    const [call] = await world.sql<{ output: { value: string }; ms: number }>(
      `select output, extract(epoch from ended_at - started_at)::float8 * 1000 as ms from baton.tool_calls where run_id = $1 and name = 'stubborn'`,
      [run.id],
    )
    expect(call?.output.value).toContain('may still be running')
    // By its own time-out of 5.6 s, or, begun late, at the hard limit and a second: at least 3 s, for none begins after 5 s. Not when it ends by itself.
    expect(call?.ms).toBeGreaterThan(2_900)
    expect(call?.ms).toBeLessThan(59_000)
    expect(await world.effects({ runId: run.id }).then((lines) => lines.filter((line) => line.name === 'stubborn'))).toHaveLength(1)
    await check('stubborn')
  })

  test('a tool that may be repeated and is cut at the hard limit runs again in a fresh slice; it is no crash', async () => {
    // Begun so late that the hard limit comes before its own time-out.
    const run = await cutOnce('cut-tool', (gate) => [
      { delayMs: 1_600, tools: [{ name: 'wait', input: { ms: 0, gate } }], usage },
      finished,
    ])
    expect(run).toMatchObject({ state: 'completed', output: 'finished', slices: 2, crashes: 0 })
    expect(await world.sql(`select state, attempts from baton.tool_calls where run_id = $1`, [run.id])).toEqual([
      { state: 'completed', attempts: 2 },
    ])
    expect(await reasons('cut-tool')).toEqual(['hard_limit'])
    await check('cut-tool')
  })

  test('a once tool starts only if its whole time-out fits before the hard limit', async () => {
    const run = await play('room', { delayMs: 2_500, tools: [{ name: 'charge', input: { key: 'room', cents: 5 } }], usage }, finished)
    expect(run).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
    // On a slow machine other reasons may come beside it.
    expect(await reasons('room')).toContain('once_needs_room')
    expect(await world.effects({ key: 'room' })).toHaveLength(1)
    await check('room')
  })
})
