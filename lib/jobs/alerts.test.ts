import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { testServices } from '#lib/http/services.fixture'
import { createAlerts } from '#lib/jobs/alerts'

/** The alerts of one process whose database answers so, and what the channel of those on call got. */
async function setUp(answer: () => Promise<{ send: boolean }>, statusOf: (text: string) => number = () => 200) {
  const told: string[] = []
  const kept: string[] = []
  const channel = createServer((request, response) => {
    let body = ''
    request
      .on('data', (chunk: Buffer) => (body += chunk.toString()))
      .on('end', () => {
        const { text } = JSON.parse(body) as { text: string }
        told.push(text)
        response.writeHead(statusOf(text)).end()
      })
  })
  await new Promise<void>((done) => channel.listen(0, '127.0.0.1', done))
  onTestFinished(() => void channel.close())
  let monotonic = 0
  const { config, ids, log, clock: still } = testServices({ alertWebhook: `http://127.0.0.1:${(channel.address() as AddressInfo).port}/` })
  const clock = { ...still, monotonic: () => monotonic }
  let asked = 0
  const tellHealth = () => {
    asked += 1
    return answer()
  }
  const alertsTold = ({ causes }: { causes: readonly string[] }) => Promise.resolve(void kept.push(...causes))
  const { health, tell } = createAlerts({ config, ids, log, clock, store: { tellHealth, alertsTold } })
  return {
    told,
    kept,
    tell,
    asked: () => asked,
    pass: (ms: number) => (monotonic += ms),
    health: (status: 'healthy' | 'degraded' | 'unhealthy') => health({ status, causes: [] } as never),
  }
}

test('of all processes that see a change of health one tells it: the database says who', async () => {
  let first = false
  const { told, asked, health } = await setUp(() => Promise.resolve({ send: first }))
  await health('unhealthy')
  expect([told, asked()]).toEqual([[], 1])
  first = true
  await health('healthy')
  await health('healthy')
  expect([told, asked()]).toEqual([['Baton (test) is healthy.'], 2])
})

test('while the database is away a process tells by itself, and tells the end of it too', async () => {
  let away = true
  const { told, health } = await setUp(() =>
    away ? Promise.reject(new BatonError('database_unavailable', 'away')) : Promise.resolve({ send: false }),
  )
  await health('unhealthy')
  away = false
  await health('healthy')
  expect(told).toEqual(['Baton (test) is unhealthy.', 'Baton (test) is healthy.'])
})

test('a status that stays is asked for once a minute: another process may have told its end, and it has come back', async () => {
  const news = [true, false, true]
  const { told, asked, pass, health } = await setUp(() => Promise.resolve({ send: news.shift() ?? false }))
  await health('unhealthy')
  pass(59_000)
  await health('unhealthy')
  expect(asked()).toBe(1)
  pass(1_000)
  await health('unhealthy')
  pass(60_000)
  await health('unhealthy')
  expect([asked(), told]).toEqual([3, ['Baton (test) is unhealthy.', 'Baton (test) is unhealthy.']])
})

test('without the database a status that stays is told once by a process, however long', async () => {
  const { told, pass, health } = await setUp(() => Promise.reject(new BatonError('database_unavailable', 'away')))
  for (let turn = 0; turn < 3; turn++) {
    await health('unhealthy')
    pass(601_000)
  }
  expect(told).toEqual(['Baton (test) is unhealthy.'])
})

test('a line is told when the channel has taken it, or will never; what it cannot take now, and all after it, is left to a later sweep', async () => {
  const statuses: Record<string, number> = { odd: 400, busy: 429, broken: 500 }
  const { told, kept, tell } = await setUp(
    () => Promise.resolve({ send: true }),
    (text) => statuses[text] ?? 200,
  )
  const lines = (...texts: string[]) => texts.map((text) => ({ cause: `of ${text}`, text }))
  await tell(lines('fine', 'odd', 'busy', 'last'))
  await tell(lines('broken', 'last'))
  expect([told, kept]).toEqual([
    ['fine', 'odd', 'busy', 'broken'],
    ['of fine', 'of odd'],
  ])
})
