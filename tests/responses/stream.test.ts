import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '#tests/engine/helpers'
import { create, errorOf, faultsOf, finalOf, followed, outputText, retrieve, runOf, streamed, textOf } from '#tests/responses/kit'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

/** How many model calls of a response have begun. */
const calls = async (id: unknown): Promise<number> =>
  (await world.effects({ runId: runOf(id) })).filter(({ kind }) => kind === 'model').length

describe('a stream', () => {
  test('of text and tools, live and again later: what is added up is what is stored', async () => {
    const input = script(
      { text: 'First.', chunks: 3, tools: [{ name: 'echo', input: { value: 7 } }] },
      { text: 'Second and last.', chunks: 4, chunkDelayMs: 20 },
    )
    const frames = await streamed(world, { input })
    expect(faultsOf(frames)).toEqual([])
    const final = finalOf(frames)
    expect([textOf(frames), outputText(final)]).toEqual(['First.Second and last.', 'First.Second and last.'])
    expect(final['output']).toMatchObject([
      { type: 'message', status: 'completed' },
      { type: 'mcp_call', name: 'echo', arguments: '{"value":7}', status: 'completed', output: '7' },
      { type: 'message', status: 'completed' },
    ])
    const { background: _said, ...rest } = final
    expect(await retrieve(world, final['id'])).toEqual(rest)
    const again = await followed(world, final['id'])
    expect([faultsOf(again), textOf(again), finalOf(again)]).toEqual([[], textOf(frames), rest])
  })

  test('goes on after every number that was given, and is refused after others', async () => {
    const frames = await streamed(world, {
      input: script({ text: 'One, two.', chunks: 3, tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'End.' }),
    })
    const { id } = finalOf(frames)
    for (const [index, { data }] of frames.entries()) {
      const all = [...frames.slice(0, index + 1), ...(await followed(world, id, Number(data['sequence_number'])))]
      expect([index, faultsOf(all), textOf(all)]).toEqual([index, [], 'One, two.End.'])
    }
    const wrong: [string, string][] = [
      ['stream=true&starting_after=7', 'invalid_starting_after'],
      [`stream=true&starting_after=${2 ** 20 * 999}`, 'invalid_starting_after'],
      ['stream=true&starting_after=-1', 'invalid_value'],
      // Without a stream there is nothing to go on with: ignored, it would look as if there were nothing new.
      ['starting_after=0', 'invalid_value'],
    ]
    for (const [query, code] of wrong) {
      const refused = await world.http('GET', `/v1/responses/${String(id)}?${query}`)
      expect(errorOf(refused), query).toMatchObject({ status: 400, code, param: 'starting_after' })
    }
  })

  test('of a run that waited is followed from its beginning, each item once', async () => {
    const gate = world.gate()
    const input = script(
      { text: 'Before.', tools: [{ name: 'echo', input: { value: 1 } }] },
      { text: 'a b c d', chunks: 4, gate: gate.file },
    )
    const { body } = await create(world, { input, background: true })
    // The rows of the first step are there, so that the stream begins in them and goes on live.
    await until('the second call is at work', async () => (await calls(body['id'])) === 2)
    const frames = await world.stream(`/v1/responses/${String(body['id'])}?stream=true`, {}, async ({ event }) => {
      if (event === 'response.mcp_call.completed') await gate.open()
    })
    expect(faultsOf(frames)).toEqual([])
    expect(textOf(frames)).toBe('Before.a b c d')
    expect(finalOf(frames)['status']).toBe('completed')
  })

  test('of more events than are read at once, whole in both forms', async () => {
    const steps = Array.from({ length: 45 }, (_, index) => ({ text: `${index} `, tools: [{ name: 'echo', input: { value: index } }] }))
    const { body } = await create(world, { input: script(...steps, { text: 'end' }) })
    const [row] = await world.sql<{ n: number }>('select count(*)::int as n from baton.events where run_id = $1', [runOf(body['id'])])
    expect(Number(row?.n)).toBeGreaterThan(200)
    const whole = `${steps.map(({ text }) => text).join('')}end`
    expect([body['status'], outputText(body)]).toEqual(['completed', whole])
    const frames = await followed(world, body['id'])
    expect([faultsOf(frames), textOf(frames)]).toEqual([[], whole])
  })

  test('shows no text that a hook may still replace', async () => {
    // The first of the pieces has the whole word.
    const input = script({ text: 'a secret-word is in here', chunks: 2, chunkDelayMs: 300 })
    const frames = await streamed(world, { model: 'hooked', input })
    expect([faultsOf(frames), textOf(frames)]).toEqual([[], 'a [removed] is in here'])
    expect(JSON.stringify(frames)).not.toContain('secret')
  })

  test('of a run that asks ends there, and after the decision goes on behind the last number', async () => {
    await world.http('POST', '/api/agents', { id: 'asks', template: 'scripted', permission: { ask: ['charge'] } })
    const input = script({ text: 'I charge.', tools: [{ name: 'charge', input: { key: 'k', cents: 5 } }] }, { text: 'Charged.' })
    const frames = await streamed(world, { input, conversation: 'asks' })
    const { id } = finalOf(frames)
    expect(finalOf(frames)['status']).toBe('in_progress')
    const waiting = await retrieve(world, id)
    expect(waiting).toMatchObject({
      status: 'in_progress',
      output: [{ type: 'message' }, { type: 'mcp_approval_request', name: 'charge' }],
    })
    const after = Number(frames.at(-1)?.data['sequence_number'])
    expect(await followed(world, id, after)).toEqual([])
    const approval = (waiting['output'] as { id: string }[])[1]?.id
    expect((await world.http('POST', `/api/approvals/${approval}`, { decision: 'allow' })).status).toBe(200)
    const all = [...frames, ...(await followed(world, id, after))]
    expect([faultsOf(all), textOf(all)]).toEqual([[], 'I charge.Charged.'])
    expect(finalOf(all)['output']).toMatchObject([
      { type: 'message' },
      { type: 'mcp_approval_request', id: approval },
      { type: 'mcp_call', name: 'charge', status: 'completed', approval_request_id: approval },
      { type: 'message' },
    ])
  })
})

describe('how a response ends', () => {
  test('a provider that fails is an error to who waits, and a failed response to who reads or streams', async () => {
    const input = script({ error: { status: 401, times: 9 } })
    const error = errorOf(await create(world, { input }))
    expect(error).toMatchObject({ status: 502, type: 'server_error', code: 'provider_auth' })
    const failed = { status: 'failed', error: { code: 'provider_auth' }, output: [], incomplete_details: null }
    expect(await retrieve(world, error['response_id'])).toMatchObject(failed)
    const frames = await streamed(world, { input })
    expect(frames.at(-1)).toMatchObject({ event: 'response.failed', data: { response: failed } })
  })

  test('an answer that is cut by its length is incomplete, with its text', async () => {
    const { status, body } = await create(world, { input: script({ text: 'Once upon', finish: 'length' }) })
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
    })
    expect(outputText(body)).toBe('Once upon')
  })

  test('cancel answers when the run has ended; once more changes nothing, nor does a cancel of what is complete', async () => {
    // A tool that does not hear its signal: the run ends a moment after the cancel.
    const input = script({ tools: [{ name: 'stubborn', input: { ms: 2_000 } }] }, { text: 'never' })
    const { body } = await create(world, { input, background: true })
    const run = runOf(body['id'])
    await until('it is at work', async () => (await world.effects({ runId: run })).some(({ kind }) => kind === 'tool'))
    const cancel = (id: unknown) => world.http('POST', `/v1/responses/${String(id)}/cancel`)
    const cancelled = await cancel(body['id'])
    expect(cancelled).toMatchObject({ status: 200, body: { id: body['id'], status: 'cancelled', error: null } })
    expect(await retrieve(world, body['id'])).toEqual(cancelled.body)
    expect((await cancel(body['id'])).body).toEqual(cancelled.body)
    const { body: complete } = await create(world, { input: 'hi' })
    expect((await cancel(complete['id'])).body).toMatchObject({ status: 'completed', output: complete['output'] })
  })

  test('whose events are no longer kept: read from its row, and no stream of it is guessed', async () => {
    const { body } = await create(world, { input: script({ text: 'Long ago', usage: { input: 2, output: 1 } }), conversation: 'aged' })
    await world.sql(`delete from baton.events e using baton.agents a where a.id = 'aged' and e.agent_uid = a.agent_uid and e.seq <= 3`)
    await world.sql(`update baton.agents set first_event_seq = 4 where id = 'aged'`)
    const kept = await retrieve(world, body['id'])
    expect(kept).toMatchObject({ id: body['id'], status: 'completed', usage: body['usage'], completed_at: body['completed_at'] })
    expect(outputText(kept)).toBe('Long ago')
    const gone = await world.http('GET', `/v1/responses/${String(body['id'])}?stream=true&starting_after=0`)
    expect(errorOf(gone)).toMatchObject({ status: 410, code: 'starting_after_expired' })
  })
})
