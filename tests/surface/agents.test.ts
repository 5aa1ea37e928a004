import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begun, runsOf, until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

async function list(query: string): Promise<string[]> {
  const page = await world.http('GET', `/api/agents?${query}`)
  expect(page.status, JSON.stringify(page.body)).toBe(200)
  return (page.body['data'] as { id: string }[]).map(({ id }) => id)
}

test('POST 201, then 200 with the same body, 409 with another', async () => {
  const body = { id: 'made', template: 'scripted', metadata: { team: 'red' } }
  const first = await world.http('POST', '/api/agents', body)
  const second = await world.http('POST', '/api/agents', body)
  expect([first.status, second.status]).toEqual([201, 200])
  expect(second.body).toEqual(first.body)
  expect(second.headers.get('location')).toBe('/api/agents/made')
  for (const other of [
    { ...body, template: 'basic' },
    { ...body, metadata: { team: 'blue' } },
  ]) {
    const reply = await world.http('POST', '/api/agents', other)
    expect([reply.status, reply.body['code']]).toEqual([409, 'conflict'])
  }
  const webhook = await world.http('POST', '/api/agents', { ...body, webhook: { url: 'https://example.com/hook' } })
  expect([webhook.status, webhook.body['code'], webhook.body['reason']]).toEqual([409, 'conflict', 'other_body'])
})

test('POST with another secret of the webhook is 409, as the first would go on signing; after PATCH the new one is the same body', async () => {
  const url = 'https://example.com/hook'
  const post = (secret?: string) =>
    world.http('POST', '/api/agents', { id: 'signed', template: 'scripted', webhook: secret === undefined ? { url } : { url, secret } })
  const statuses = async (...secrets: (string | undefined)[]): Promise<number[]> => {
    const all: number[] = []
    for (const secret of secrets) all.push((await post(secret)).status)
    return all
  }
  expect(await statuses('first-secret', 'first-secret', 'second-secret', undefined)).toEqual([201, 200, 409, 409])
  expect((await post('second-secret')).body['detail']).toMatch(/its secret counts.*PATCH/)
  expect((await world.http('PATCH', '/api/agents/signed', { webhook: { url, secret: 'second-secret' } })).status).toBe(200)
  expect(await statuses('first-secret', 'second-secret')).toEqual([409, 200])
  expect((await world.http('PATCH', '/api/agents/signed', { webhook: { url } })).status).toBe(200)
  expect(await statuses('second-secret', undefined)).toEqual([409, 200])
})

test('POST 201 without an id makes one', async () => {
  const reply = await world.http('POST', '/api/agents', { template: 'scripted' })
  expect(reply.status).toBe(201)
  expect(reply.headers.get('location')).toBe(`/api/agents/${String(reply.body['id'])}`)
  expect((await world.http('GET', String(reply.headers.get('location')))).body['id']).toBe(reply.body['id'])
})

test('POST without an id but with a key makes one for all its repeats; another body is 422', async () => {
  const make = (body: object, key: string) =>
    world.http('POST', '/api/agents', { template: 'scripted', ...body }, { 'idempotency-key': key })
  const replies = await Promise.all(['one', 'one', 'other'].map((key) => make({}, key)))
  expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 201, 201])
  const [one, again, other] = replies.map(({ body }) => body['agentUid'])
  expect([again === one, other === one]).toEqual([true, false])
  expect((await make({}, 'one')).headers.get('idempotent-replayed')).toBe('true')
  expect(await make({ metadata: { a: 1 } }, 'one')).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
})

test('GET 200 shows what the agent is, what it has cost, and never the webhook’s secret', async () => {
  const secret = 'whsec_bm90LXRvLWJlLXNob3du'
  await world.http('POST', '/api/agents', { id: 'shown', template: 'scripted', webhook: { url: 'https://example.com/hook', secret } })
  await world.send('shown', script({ text: 'x', usage: { input: 100, output: 10 } }))
  const reply = await world.http('GET', '/api/agents/shown')
  expect(reply.body).toMatchObject({
    id: 'shown',
    state: 'ready',
    steps: 1,
    messages: 2,
    runs: 1,
    costMicros: 450,
    costUsd: 0.00045,
    webhook: { url: 'https://example.com/hook' },
  })
  expect(JSON.stringify(reply.body)).not.toContain(secret)
  expect(String(reply.body['createdAt'])).toMatch(/^\d{4}-\d\d-\d\dT.*(Z|\+00:00)$/)
})

test('GET 200 with the state of an agent at work', async () => {
  const gate = world.gate()
  const open = await begun(world, 'at-work', [{ gate: gate.file, text: 'x' }])
  expect(await world.agent('at-work')).toMatchObject({ state: 'working', activeRunId: open, queued: 0 })
  expect(await list('state=working&prefix=at-')).toEqual(['at-work'])
  await gate.open()
  await world.ended(open)
  expect(await list('state=working&prefix=at-')).toEqual([])
})

test('GET 200 lists by every filter, in both orders', async () => {
  for (const [index, id] of ['f:1', 'f:2', 'f:3'].entries()) {
    await world.http('POST', '/api/agents', {
      id,
      template: index === 0 ? 'basic' : 'scripted',
      metadata: { n: String(index), all: 'yes' },
    })
  }
  expect(await list('prefix=f:')).toEqual(['f:1', 'f:2', 'f:3'])
  expect(await list('prefix=f:&order=desc')).toEqual(['f:3', 'f:2', 'f:1'])
  expect(await list('prefix=f:&template=scripted')).toEqual(['f:2', 'f:3'])
  expect(await list('metadata.all=yes&metadata.n=1')).toEqual(['f:2'])
  expect(await list('prefix=f:&user=00000000-0000-4000-8000-000000000000')).toEqual([])
  const { createdAt } = await world.agent('f:2')
  expect(await list(`prefix=f:&from=${encodeURIComponent(createdAt)}`)).toEqual(['f:2', 'f:3'])
  expect(await list(`prefix=f:&to=${encodeURIComponent(createdAt)}`)).toEqual(['f:1'])
  expect(await list('prefix=f%')).toEqual([])
})

test('GET 200 finds metadata by what JSON writes of it, numbers and booleans too', async () => {
  const kinds = { number: 1, text: '1', half: 1.5, yes: true, none: null, list: [1] }
  for (const [id, n] of Object.entries(kinds))
    await world.http('POST', '/api/agents', { id: `k:${id}`, template: 'basic', metadata: { n } })
  expect(await list('metadata.n=1&prefix=k:')).toEqual(['k:number', 'k:text'])
  expect(await list('metadata.n=1.5&prefix=k:')).toEqual(['k:half'])
  expect(await list('metadata.n=true&prefix=k:')).toEqual(['k:yes'])
  expect(await list('metadata.m=1&prefix=k:')).toEqual([])
})

test('400 to a cursor in the other order', async () => {
  const page = await world.http('GET', '/api/agents?limit=1')
  const reply = await world.http('GET', `/api/agents?limit=1&order=desc&cursor=${String(page.body['nextCursor'])}`)
  expect([reply.status, reply.body['code']]).toEqual([400, 'invalid_cursor'])
})

test('PATCH 200 replaces metadata as a whole and takes a webhook away; what is absent stays', async () => {
  await world.http('POST', '/api/agents', {
    id: 'patched',
    template: 'scripted',
    metadata: { a: 1 },
    webhook: { url: 'https://example.com/1' },
  })
  const one = await world.http('PATCH', '/api/agents/patched', { metadata: { b: [1, null] } })
  expect(one.status).toBe(200)
  expect(one.body).toMatchObject({ metadata: { b: [1, null] }, webhook: { url: 'https://example.com/1' } })
  const two = await world.http('PATCH', '/api/agents/patched', { webhook: null })
  expect(two.body).toMatchObject({ metadata: { b: [1, null] }, webhook: null })
  const refused = await world.http('PATCH', '/api/agents/patched', { metadata: { c: 1 }, webhook: { url: 'gopher://example.com' } })
  expect([refused.status, refused.body['code']]).toEqual([400, 'webhook_refused'])
  expect((await world.agent('patched')).metadata).toEqual({ b: [1, null] })
})

test('PATCH 200 while the agent works does not disturb the run', async () => {
  const gate = world.gate()
  const open = await begun(world, 'patched-busy', [{ gate: gate.file, text: 'undisturbed' }])
  expect((await world.http('PATCH', '/api/agents/patched-busy', { metadata: { late: true } })).status).toBe(200)
  await gate.open()
  expect(await world.ended(open)).toMatchObject({ state: 'completed', output: 'undisturbed' })
  expect((await world.agent('patched-busy')).metadata).toEqual({ late: true })
})

test('an agent that is deleted while its caller waits: 404, not a run that goes on', async () => {
  const gate = world.gate()
  const waits = world.send('deleted-meanwhile', script({ text: 'x', gate: gate.file }), { prefer: 'wait=25' })
  await until('it is at work', async () => {
    const [run] = await runsOf(world, 'deleted-meanwhile')
    return run !== undefined && (await world.effects({ runId: run.id })).length > 0
  })
  expect((await world.http('DELETE', '/api/agents/deleted-meanwhile')).status).toBe(204)
  await gate.open()
  expect(await waits).toMatchObject({ status: 404, body: { code: 'run_not_found' } })
})

test('DELETE 204, then 404', async () => {
  await world.send('deleted', script({ text: 'x' }))
  expect((await world.http('DELETE', '/api/agents/deleted')).status).toBe(204)
  expect((await world.http('DELETE', '/api/agents/deleted')).status).toBe(404)
})

test('404 to a repeat under the key of a message whose agent was deleted: it makes no agent anew; another key does', async () => {
  const send = (key: string) => world.send('gone', script({ text: 'x' }), { key })
  expect((await send('late')).status).toBe(200)
  await world.http('DELETE', '/api/agents/gone')
  for (const _ of [1, 2]) expect(await send('late')).toMatchObject({ status: 404, body: { code: 'agent_not_found', reason: 'deleted' } })
  expect((await send('late')).body['detail']).toMatch(/deleted since.*new key/)
  expect((await world.http('GET', '/api/agents/gone')).status).toBe(404)
  const kept = await world.sql(`select key, hash, run_id, agent_uid from baton.idempotency where key like '%late%' or key like 'gone %'`)
  expect(kept).toEqual([{ key: expect.stringMatching(/^gone [0-9a-f]{64}$/), hash: '', run_id: null, agent_uid: null }])
  expect((await send('soon')).status).toBe(200)
})

test('HEAD and OPTIONS are answered as HTTP says', async () => {
  await world.http('POST', '/api/agents', { id: 'head', template: 'basic' })
  const head = await fetch(`${world.base()}/api/agents/head`, { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  const options = await fetch(`${world.base()}/api/agents/head`, { method: 'OPTIONS' })
  expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, PATCH, DELETE, HEAD, OPTIONS'])
})

describe('tool calls', () => {
  beforeAll(async () => {
    await world.send(
      'calls',
      script(
        {
          tools: [
            { name: 'echo', input: { value: { a: [1] } } },
            { name: 'fail', input: { message: 'no' } },
            { name: 'count', input: { key: 'k' } },
          ],
        },
        { text: 'ok' },
      ),
    )
  })

  type Row = Record<string, unknown> & { callId: string; name: string }

  async function calls(query = ''): Promise<{ data: Row[]; nextCursor: string | null }> {
    const page = await world.http('GET', `/api/agents/calls/tool-calls${query}`)
    expect(page.status).toBe(200)
    return page.body as unknown as { data: Row[]; nextCursor: string | null }
  }

  test('GET 200 shows each record with input, output, attempts and audit trail', async () => {
    const { data, nextCursor } = await calls()
    expect(nextCursor).toBeNull()
    expect(data.map(({ name }) => name)).toEqual(['echo', 'fail', 'count'])
    expect(data[0]).toMatchObject({
      step: 1,
      index: 0,
      effect: 'pure',
      state: 'completed',
      input: { value: { a: [1] } },
      output: { type: 'json', value: { a: [1] } },
      attempts: 1,
      isError: false,
    })
    expect(data[1]).toMatchObject({ state: 'failed', isError: true })
    const trail = data[0]?.['auditTrail'] as { state: string; at: string }[]
    expect(trail.map(({ state }) => state)).toEqual(['pending', 'executing', 'completed'])
    expect(data[2]?.['output']).toMatchObject({ value: { idempotencyKey: data[2]?.['idempotencyKey'] } })
    expect(Number(data[0]?.['durationMs'])).toBeGreaterThanOrEqual(0)
  })

  test('GET 200 filters by state, name and run, and pages', async () => {
    expect((await calls('?state=failed')).data.map(({ name }) => name)).toEqual(['fail'])
    expect((await calls('?name=count')).data.map(({ name }) => name)).toEqual(['count'])
    expect((await calls('?runId=run_none')).data).toEqual([])
    const names: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: { data: Row[]; nextCursor: string | null } = await calls(`?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
      names.push(...page.data.map(({ name }) => name))
      cursor = page.nextCursor
    }
    expect(names).toEqual(['echo', 'fail', 'count'])
  })

  test('400 to a state that does not exist, with the states that do', async () => {
    const reply = await world.http('GET', '/api/agents/calls/tool-calls?state=done')
    expect(reply.status).toBe(400)
    expect((reply.body['problems'] as { allowed: string[] }[])[0]?.allowed).toContain('sealed')
  })
})
