import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
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
afterAll(() => world.close())

type Row = Record<string, unknown> & { callId: string; name: string }

async function list(query = ''): Promise<{ data: Row[]; nextCursor: string | null }> {
  const page = await world.http('GET', `/api/agents/calls/tool-calls${query}`)
  expect(page.status).toBe(200)
  return page.body as unknown as { data: Row[]; nextCursor: string | null }
}

test('GET 200 shows each record with input, output, attempts and audit trail', async () => {
  const { data, nextCursor } = await list()
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
  expect((await list('?state=failed')).data.map(({ name }) => name)).toEqual(['fail'])
  expect((await list('?name=count')).data.map(({ name }) => name)).toEqual(['count'])
  expect((await list('?runId=run_none')).data).toEqual([])
  const names: string[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: { data: Row[]; nextCursor: string | null } = await list(`?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
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
