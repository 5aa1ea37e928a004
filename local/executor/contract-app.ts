import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { Inngest, NonRetriableError, RetryAfterError } from 'inngest'
import { serve } from 'inngest/node'

/** The app of the contract test: real functions on the real SDK, each body noting in LOG_FILE that it ran. */
const { APP_PORT, APP_ID = 'contract', LOG_FILE = '', EXTRA } = process.env
const client = new Inngest({ id: APP_ID, logger: { info() {}, warn() {}, error() {}, debug() {} } })

function note(what: string, key: unknown, more: object = {}): void {
  appendFileSync(LOG_FILE, `${JSON.stringify({ what, key, pid: process.pid, at: Date.now(), ...more })}\n`)
}
function noted(what: string, key: unknown): number {
  return readFileSync(LOG_FILE, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && JSON.parse(line).what === what && JSON.parse(line).key === key).length
}

const memo = (id: string, checkpointing: boolean) =>
  client.createFunction({ id, checkpointing, triggers: [{ event: `contract/${id}` }] }, async ({ event, step }) => {
    const { key } = event.data
    note(`${id}:entry`, key)
    const a = await step.run('a', () => (note(`${id}:a`, key), { value: 1, nothing: undefined }))
    await step.sleep('nap', 1)
    const b = await step.run('b', () => (note(`${id}:b`, key), a.value + 1))
    const [c, d] = await Promise.all([
      step.run('c', () => (note(`${id}:c`, key), b + 1)),
      step.run('d', () => (note(`${id}:d`, key), b + 2)),
    ])
    await step.run('end', () => note(`${id}:end`, key, { sum: a.value + b + c + d }))
  })

const slow = (id: string, checkpointing: boolean) =>
  client.createFunction({ id, checkpointing, retries: 3, triggers: [{ event: `contract/${id}` }] }, async ({ event, step }) => {
    const { key } = event.data
    await step.run('before', () => note(`${id}:before`, key))
    await step.run('work', async () => {
      const earlier = noted(`${id}:work`, key)
      note(`${id}:work`, key)
      // The first execution hangs until the test kills this process.
      if (earlier === 0) await wait(60_000)
    })
    note(`${id}:end`, key)
  })

const functions = [
  memo('memo-on', true),
  memo('memo-off', false),
  slow('slow-on', true),
  slow('slow-off', false),
  client.createFunction({ id: 'plain', triggers: [{ event: 'contract/plain' }] }, ({ event, runId }) =>
    note('plain', event.data.key, { id: event.id, ts: event.ts, runId }),
  ),
  client.createFunction({ id: 'filtered', triggers: [{ event: 'contract/plain', if: "event.data.kind == 'special'" }] }, ({ event }) =>
    note('filtered', event.data.key),
  ),
  client.createFunction({ id: 'flaky', retries: 2, triggers: [{ event: 'contract/flaky' }] }, async ({ event, step, attempt }) => {
    const { key, failures, where } = event.data
    const work = (): void => {
      note('flaky', key, { attempt })
      if (noted('flaky', key) <= failures) throw new Error('not yet')
    }
    if (where === 'step') await step.run('work', work)
    else work()
    note('flaky:end', key, { attempt })
  }),
  client.createFunction({ id: 'later', retries: 2, triggers: [{ event: 'contract/later' }] }, async ({ event, step }) => {
    const { key, afterMs } = event.data
    await step.run('work', () => {
      note('later', key)
      if (noted('later', key) === 1) throw new RetryAfterError('come again', afterMs)
    })
  }),
  client.createFunction(
    {
      id: 'fatal',
      triggers: [{ event: 'contract/fatal' }],
      onFailure: ({ event, error }) => note('fatal:onFailure', event.data.event.data['key'], { message: error.message }),
    },
    ({ event }) => {
      note('fatal', event.data.key)
      throw new NonRetriableError('never')
    },
  ),
  client.createFunction({ id: 'any-failure', triggers: [{ event: 'inngest/function.failed' }] }, ({ event }) =>
    note('any-failure', event.data.event?.data?.key, { functionId: event.data.function_id, message: event.data.error?.message }),
  ),
  client.createFunction({ id: 'caught', retries: 0, triggers: [{ event: 'contract/caught' }] }, async ({ event, step }) => {
    const { key } = event.data
    const message = await step
      .run('bad', () => {
        note('caught:bad', key)
        throw new Error('step is over')
      })
      .catch((error: unknown) => (error instanceof Error ? error.message : 'no error'))
    note('caught:end', key, { message })
  }),
  client.createFunction(
    { id: 'keyed', concurrency: [{ limit: 1, key: 'event.data.group' }], triggers: [{ event: 'contract/keyed' }] },
    async ({ event, step }) => {
      await step.run('work', async () => {
        note('keyed:start', event.data.key, { group: event.data.group })
        await wait(120)
        note('keyed:stop', event.data.key, { group: event.data.group })
      })
    },
  ),
  client.createFunction({ id: 'sender', triggers: [{ event: 'contract/sender' }] }, async ({ event, step }) => {
    await step.sendEvent('send', { name: 'contract/plain', data: { key: event.data.key } })
    note('sender:end', event.data.key)
  }),
  client.createFunction({ id: 'dreamer', triggers: [{ event: 'contract/dreamer' }] }, async ({ event, step }) => {
    await step.sleep('hour', '1h')
    note('dreamer:hour', event.data.key)
    await step.sleepUntil('until', new Date(event.data.until))
    note('dreamer:end', event.data.key)
  }),
  client.createFunction({ id: 'large', triggers: [{ event: 'contract/large' }] }, async ({ event, step }) => {
    let total = 0
    for (let index = 0; index < 4; index += 1) {
      total += (await step.run(`part-${index}`, () => (note('large', event.data.key), 'x'.repeat(1_500_000)))).length
      await step.sleep(`nap-${index}`, 1)
    }
    note('large:end', event.data.key, { total })
  }),
  client.createFunction(
    { id: 'brief', checkpointing: { maxRuntime: 300 }, triggers: [{ event: 'contract/brief' }] },
    async ({ event, step }) => {
      note('brief:entry', event.data.key)
      for (let index = 0; index < 6; index += 1) await step.run(`part-${index}`, () => (note('brief', event.data.key), wait(120)))
      note('brief:end', event.data.key)
    },
  ),
  client.createFunction({ id: 'waiter', triggers: [{ event: 'contract/waiter' }] }, async ({ step }) => {
    await step.waitForEvent('wait', { event: 'contract/never', timeout: '1h' })
  }),
  ...(EXTRA === 'cron'
    ? [client.createFunction({ id: 'ticker', triggers: [{ cron: '* * * * * *' }] }, ({ event }) => note('tick', event.name))]
    : []),
  ...(EXTRA === 'daily'
    ? [client.createFunction({ id: 'daily', triggers: [{ cron: 'TZ=Europe/Berlin 0 3 * * *' }] }, () => note('daily', 'cron'))]
    : []),
  ...(EXTRA === 'debounce'
    ? [
        client.createFunction({ id: 'debounced', debounce: { period: '5s' }, triggers: [{ event: 'contract/debounced' }] }, () =>
          note('debounced', 0),
        ),
      ]
    : []),
]

const handler = serve({ client, functions, enableUnauthedSync: false })
createServer((request, response) => {
  if (request.url?.startsWith('/api/inngest')) handler(request, response)
  else response.writeHead(404).end()
}).listen(Number(APP_PORT), '127.0.0.1')
