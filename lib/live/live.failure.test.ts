import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import type { RunId } from '#lib/core/ids'
import {
  agentUid,
  clockAhead,
  clockAt,
  command,
  delta,
  executor,
  listen,
  reader,
  runId,
  startProcess,
  startRedis,
  stop,
  until,
} from './live.fixtures.ts'

const clock = clockAt(5)

test('a subscription that is cut is opened again, and what came meanwhile is read', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url)]
  const halts: (RunId | null)[] = []
  one.onHalt(agentUid, (run) => halts.push(run))
  await two.halt({ agentUid, runId })
  await expect.poll(() => halts, until).toHaveLength(1)
  redis.cut()
  await two.halt({ agentUid, runId: null })
  await expect.poll(() => halts, until).toEqual([runId, null])
})

test('a subscription that stands but brings nothing is made good by reading', async () => {
  const redis = await startRedis()
  let subscriptions = 0
  const mute = createServer((from, response) => {
    if (from.url?.startsWith('/subscribe/') !== true) return pass(redis.url, from, response)
    subscriptions += 1
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: subscribe,x,1\n\n')
  })
  const port = await listen(mute)
  onTestFinished(() => stop(mute))
  const [one, two] = [startProcess(`http://127.0.0.1:${port}`), startProcess(redis.url)]
  const halts: (RunId | null)[] = []
  one.onHalt(agentUid, (run) => halts.push(run))
  await expect.poll(() => subscriptions, until).toBe(1)
  for (const run of [runId, null]) {
    await two.halt({ agentUid, runId: run })
    await expect.poll(() => halts.at(-1), until).toBe(run)
  }
  await expect.poll(() => subscriptions, until).toBeGreaterThan(1)
  expect(halts).toEqual([runId, null])
})

test('text that outgrows the buffer is dropped and told again, without a hole', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url)]
  const { say, state: said } = executor(one)
  const there = reader()
  two.watch(agentUid, there.onFrame)
  await expect.poll(() => said.joins, until).toBe(1)
  for (let index = 0; index < 4; index += 1) say(String(index).repeat(100_000))
  await expect.poll(() => there.state.text.length, until).toBe(400_000)
  expect(said.joins).toBe(2)
  // Once more so soon that the text is not told again at once: what follows must wait for it.
  for (let index = 0; index < 4; index += 1) say(String(index).repeat(100_000))
  say('the end')
  await expect.poll(() => there.state.text, until).toBe(said.text)
  expect(there.state.faults).toBe(0)
  expect(said.joins).toBeGreaterThanOrEqual(3)
})

test('who is no longer watched elsewhere is no longer written for, and the subscription ends when nobody needs it', async () => {
  const redis = await startRedis()
  const ahead = clockAhead()
  const [one, two] = [startProcess(redis.url, { clock: ahead }), startProcess(redis.url)]
  const { say, state: said, end } = executor(one)
  const unwatch = two.watch(agentUid, () => undefined)
  await expect.poll(() => said.joins, until).toBe(1)
  unwatch()
  let trials = 0
  const isUnheard = async (): Promise<boolean> => {
    // Signals of the last seconds may be read once more: then it is forgotten in the next trial.
    ahead.forward(31_000)
    const before = await command(redis.url, ['XLEN', `${redis.prefix}live:${agentUid}`])
    say('unheard')
    // A later piece for somebody who is watched is the proof that the unheard one had its time.
    const [agent, other] = [`other-${(trials += 1)}`, reader()]
    const ends = [two.watch(agent, other.onFrame), one.onWatcher(agent, () => one.emit(delta(0, 'heard', { agentUid: agent })))]
    await expect.poll(() => other.state.text, until).toBe('heard')
    for (const done of ends) done()
    return (await command(redis.url, ['XLEN', `${redis.prefix}live:${agentUid}`])) === before
  }
  await expect.poll(isUnheard, until).toBe(true)
  const subscribed = (): Promise<unknown> => command(redis.url, ['PUBSUB', 'NUMSUB', `${redis.prefix}signals`])
  await expect.poll(subscribed, until).toEqual([`${redis.prefix}signals`, 1])
  end()
  await expect.poll(subscribed, until).toEqual([`${redis.prefix}signals`, 0])
})

test('Redis stopped in the middle: the process goes on alone, and with Redis again when it is back', async () => {
  const redis = await startRedis()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url)]
  const { say, state: said } = executor(one)
  const [here, there] = [reader(), reader()]
  one.watch(agentUid, here.onFrame)
  two.watch(agentUid, there.onFrame)
  say('before ')
  await expect.poll(() => there.state.text, until).toBe('before ')

  await redis.stop()
  const startedAt = performance.now()
  await Promise.all([one.halt({ agentUid, runId }), two.halt({ agentUid, runId })])
  expect(performance.now() - startedAt).toBeLessThan(20_000)
  for (let index = 0; index < 20; index += 1) {
    say('during ')
    await clock.sleep(100)
  }
  expect(here.state.text).toBe(said.text)
  await expect.poll(() => [one.status().redis, two.status().redis], until).toEqual(['down', 'down'])

  await redis.start()
  const speaking = setInterval(() => say('after '), 20)
  onTestFinished(() => clearInterval(speaking))
  await expect.poll(() => there.state.text, until).toContain('during during after ')
  clearInterval(speaking)
  await expect.poll(() => there.state.text, until).toBe(said.text)
  expect(there.state.faults).toBe(0)
  expect(one.status()).toEqual({ redis: 'ok' })
})

test('a Redis that accepts and never answers delays a halt by the time-out of a command, and not for ever', async () => {
  const silent = createServer(() => undefined)
  const port = await listen(silent)
  onTestFinished(() => stop(silent))
  const live = startProcess(`http://127.0.0.1:${port}`, { commandTimeoutMs: 50 })
  for (let turn = 0; turn < 3; turn += 1) await live.halt({ agentUid, runId })
  await expect.poll(() => live.status(), until).toEqual({ redis: 'down' })
})

test('a write whose answer was lost is repeated by the client and counts once', async () => {
  const redis = await startRedis()
  let lost = 0
  const lossy = createServer((from, response) => {
    if (from.url !== '/pipeline' || lost > 0) return pass(redis.url, from, response)
    lost += 1
    pass(redis.url, from)
  })
  const port = await listen(lossy)
  onTestFinished(() => stop(lossy))
  const [one, two] = [startProcess(`http://127.0.0.1:${port}`), startProcess(redis.url)]
  const { say, state: said } = executor(one)
  const there = reader()
  two.watch(agentUid, there.onFrame)
  await expect.poll(() => said.joins, until).toBe(1)
  say('once')
  one.emit({ ...delta(0, ''), body: { type: 'committed', seq: 4 } })
  await expect.poll(() => command(redis.url, ['XLEN', `${redis.prefix}live:${agentUid}`]), until).toBe(2)
  say(' more')
  await expect.poll(() => there.state.text, until).toBe('once more')
  expect(lost).toBe(1)
  expect(there.state.frames.map(({ body }) => body.type)).toEqual(['delta', 'committed', 'delta'])
})

/** Hands a request on to the gateway; without a response the answer is lost. */
function pass(url: string, from: IncomingMessage, response?: ServerResponse) {
  const onward = request(`${url}${from.url}`, { method: 'POST', headers: from.headers }, (answer) => {
    if (response === undefined) return void answer.resume().on('end', () => from.socket.destroy())
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    answer.pipe(response)
  })
  // The gateway goes with the test; then there is nobody left to be told.
  onward.on('error', () => from.socket.destroy())
  response?.on('close', () => onward.destroy())
  from.pipe(onward)
}

test('frames that went while reads failed beside a subscription that stands: the text is asked for again', async () => {
  const redis = await startRedis()
  let failed = 0
  let deaf = false
  const front = createServer((from, response) => {
    if (!deaf || from.url !== '/') return pass(redis.url, from, response)
    failed += 1
    from.socket.destroy()
  })
  const port = await listen(front)
  onTestFinished(() => stop(front))
  const speaker = executor(startProcess(redis.url))
  const { state, onFrame } = reader()
  startProcess(`http://127.0.0.1:${port}`).watch(agentUid, onFrame)
  await expect.poll(() => speaker.state.joins, until).toBe(1)
  speaker.say('one ')
  await expect.poll(() => state.text, until).toBe('one ')

  deaf = true
  await expect.poll(() => failed, until).toBeGreaterThan(0)
  speaker.say('two ')
  const stream = `${redis.prefix}live:${agentUid}`
  await expect.poll(() => command(redis.url, ['XLEN', stream]), until).toBeGreaterThan(1)
  expect(await command(redis.url, ['DEL', stream])).toBe(1)
  deaf = false
  speaker.say('three')
  await expect.poll(() => state.text, until).toBe('one two three')
  expect(state.faults).toBe(0)
})

test('frames that went while a reader could not reach Redis: it asks for the text again', async () => {
  const mine = await startRedis()
  const theirs = await startRedis(mine)
  const keys = mine.prefix
  const speaker = executor(startProcess(mine.url, { keys }))
  const { state, onFrame } = reader()
  const far = startProcess(theirs.url, { keys })
  far.watch(agentUid, onFrame)
  await expect.poll(() => speaker.state.joins, until).toBeGreaterThan(0)
  speaker.say('one ')
  await expect.poll(() => state.text, until).toBe('one ')

  await theirs.stop()
  speaker.say('two ')
  const stream = `${keys}live:${agentUid}`
  await expect.poll(() => command(mine.url, ['XLEN', stream]), until).toBeGreaterThan(1)
  expect(await command(mine.url, ['DEL', stream])).toBe(1)
  await expect.poll(() => far.status().redis, until).toBe('down')
  await theirs.start()
  speaker.say('three')
  await expect.poll(() => state.text, until).toBe('one two three')
  expect(state.faults).toBe(0)
})

test('frames that a writer could not write: the text is told again, though its readers have missed nothing else', async () => {
  const redis = await startRedis()
  let failing = 0
  const between = createServer((from, response) => {
    if (failing === 0 || from.url !== '/pipeline') return pass(redis.url, from, response)
    failing -= 1
    from.socket.destroy()
  })
  const port = await listen(between)
  onTestFinished(() => stop(between))
  const [one, two] = [startProcess(`http://127.0.0.1:${port}`), startProcess(redis.url)]
  const { say, state: said } = executor(one)
  const { state, onFrame } = reader()
  two.watch(agentUid, onFrame)
  await expect.poll(() => said.joins, until).toBe(1)
  say('start ')
  await expect.poll(() => state.text, until).toBe('start ')
  // The client repeats a write once.
  failing = 2
  say('lost ')
  await expect.poll(() => failing, until).toBe(0)
  // A piece that comes before the failure was noticed is lost with it: then the next one brings the whole.
  await expect
    .poll(() => {
      if (state.text === 'start ') say('.')
      return state.text
    }, until)
    .toContain('lost ')
  await expect.poll(() => state.text, until).toBe(said.text)
  expect(state.faults).toBe(0)
})

test('who goes on watching says so again, long before the executor would forget it', async () => {
  const redis = await startRedis()
  const ahead = clockAhead()
  const [one, two] = [startProcess(redis.url), startProcess(redis.url, { clock: ahead })]
  const { state: said } = executor(one)
  two.watch(agentUid, () => undefined)
  await expect.poll(() => said.joins, until).toBe(1)
  ahead.forward(10_000)
  const signals = async (): Promise<unknown> => JSON.stringify(await command(redis.url, ['XRANGE', `${redis.prefix}signals`, '-', '+']))
  await expect.poll(signals, until).toMatch(/watch.*join.{1,4}true.*watch.*join.{1,4}false/)
})

test('what was read is not read again, nor an agent that nobody watches any more', async () => {
  const redis = await startRedis()
  const asked: string[] = []
  const between = createServer((from, response) => {
    let body = ''
    from.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => asked.push(body))
    pass(redis.url, from, response)
  })
  const port = await listen(between)
  onTestFinished(() => stop(between))
  const live = startProcess(`http://127.0.0.1:${port}`)
  const reading = (uid: string): string | undefined => asked.find((body) => body.includes('XREAD') && body.includes(`live:${uid}`))
  const unwatch = live.watch(agentUid, () => undefined)
  await expect.poll(() => reading(agentUid), until).toBeDefined()
  const entry = await command(redis.url, ['XADD', `${redis.prefix}live:${agentUid}`, '*', 'd', 'of another build'])
  await expect.poll(() => asked.some((body) => body.includes(`"${String(entry)}"`)), until).toBe(true)
  unwatch()
  live.watch('agent-2', () => undefined)
  await expect.poll(() => reading('agent-2'), until).toBeDefined()
  expect(reading('agent-2')).not.toContain(`live:${agentUid}`)
})
