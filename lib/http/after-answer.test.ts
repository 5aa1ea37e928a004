import { expect, test } from 'vitest'
import { endpointsFor, type HttpServices } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import { testServices } from './services.fixture.ts'

/* What goes on after the answer: a serverless process stands still then, unless it is told to wait. */

const endpoint = endpointsFor<HttpServices>()
const url = 'http://localhost:3000/api/things'

/** Sends that the test ends, and what the process is told to wait for. */
function serve(work: () => Promise<unknown> = () => Promise.resolve(), changes: Parameters<typeof testServices>[0] = {}) {
  const services = testServices(changes)
  const order: string[] = []
  const waited: Promise<unknown>[] = []
  const sent = Promise.withResolvers<void>()
  services.settled = () => sent.promise.then(() => void order.push('sent'))
  const routes = handle(
    [
      endpoint({ method: 'GET', path: '/api/things', summary: 'Read', handler: () => Response.json({}) }),
      endpoint({ method: 'POST', path: '/api/things', summary: 'Write', handler: () => Promise.reject(new Error('refused')) }),
      endpoint({
        method: 'PUT',
        path: '/api/things',
        summary: 'Write, and go on',
        handler({ background }) {
          background(work().finally(() => void order.push('worked')))
          return Response.json({})
        },
      }),
    ],
    { services: () => Promise.resolve(services), background: (promise) => waited.push(promise), fallbackLog: services.log },
  )
  return { services, routes, order, waited, send: () => sent.resolve(), lines: services.lines }
}

test('invariant 7: a process is kept until what a request has written to the outbox is sent, also where it was refused', async () => {
  const { routes, order, waited, send } = serve()
  expect((await routes.POST(new Request(url, { method: 'POST' }))).status).toBe(500)
  expect(waited).toHaveLength(1)
  send()
  await Promise.all(waited)
  expect(order).toEqual(['sent'])
})

test('who only reads is followed by nothing', async () => {
  const { routes, waited } = serve()
  for (const method of ['GET', 'HEAD', 'OPTIONS'] as const) await routes[method](new Request(url, { method }))
  expect(waited).toEqual([])
})

test.each([
  ['ends', () => Promise.resolve(), []],
  ['fails', () => Promise.reject(new Error('the database is away')), ['background work failed']],
])('work that goes on after an answer and %s is followed by its sends', async (_how, work, told) => {
  const begins = Promise.withResolvers<void>()
  const { routes, order, waited, send, lines } = serve(() => begins.promise.then(work))
  expect((await routes.PUT(new Request(url, { method: 'PUT' }))).status).toBe(200)
  send()
  // What was under way when it was answered has been sent: what the work dispatches comes after that.
  await waited[1]
  begins.resolve()
  await Promise.all(waited)
  expect(order).toEqual(['sent', 'worked', 'sent'])
  expect(lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual(told)
})

test('what has been counted is told beside a request when it is time, and only then', async () => {
  const { services, routes, waited } = serve()
  const told = Promise.resolve()
  services.metrics.flush = () => told
  await routes.GET(new Request(url))
  expect(waited).toEqual([])
  services.metrics.due = () => true
  await routes.GET(new Request(url))
  expect(waited).toHaveLength(1)
  expect(waited[0]).toBe(told)
})

test.each([true, false])(
  'where traces are recorded (%s) they are told after each request: nobody waits for a batch to fill',
  async (traces) => {
    const { services, routes, waited } = serve(undefined, { traces })
    const told = Promise.resolve()
    services.telemetry.flush = () => told
    await routes.GET(new Request(url))
    expect(waited.map((promise) => promise === told)).toEqual(traces ? [true] : [])
  },
)
