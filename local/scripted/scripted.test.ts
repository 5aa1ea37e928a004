import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelMessage } from 'ai'
import { expect, onTestFinished, test } from 'vitest'
import type { AnyTool, ToolContext } from '#lib/core/define'
import { worstCaseMicros } from '#lib/core/prices'
import type { Clock, ModelAnswer, ModelPort, ModelRequest } from '#lib/core/ports'
import { localModels } from '#local/scripted/local-models'
import { createScriptedModel, scriptedPrice } from '#local/scripted/model'
import { scriptedDefinition } from '#local/scripted/template'
import { scriptedTools } from '#local/scripted/tools'

const slept: number[] = []
const clock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  sleep: async (ms, signal) => {
    slept.push(ms)
    if (ms > 1_000) await new Promise((resolve) => signal?.addEventListener('abort', resolve))
  },
  random: () => 0,
}
const model = createScriptedModel({ clock })

function requestFor(
  opening: ModelMessage['content'] & (string | { type: 'text'; text: string }[]),
  change: Partial<ModelRequest> = {},
): ModelRequest {
  const message: ModelMessage = { role: 'user', content: opening }
  return {
    definition: scriptedDefinition,
    model: 'local/scripted',
    agentUid: 'u',
    agentName: 'a',
    runId: 'run_1',
    step: 0,
    modelCall: 0,
    attempt: 0,
    instructions: 'Play the script.',
    messages: [message],
    opening: message,
    tools: scriptedTools,
    maxOutputTokens: 500,
    timeouts: { firstChunkMs: 1, chunkMs: 1 },
    ...change,
  }
}

async function play(
  answers: unknown,
  change: Partial<ModelRequest> = {},
  signal = new AbortController().signal,
): Promise<{ answer: ModelAnswer; pieces: string[] }> {
  const pieces: string[] = []
  const answer = await model.call(requestFor(JSON.stringify({ script: answers }), change), (delta) => pieces.push(delta.text), signal)
  return { answer, pieces }
}

test('the n-th call plays the n-th answer, past the end "done"', async () => {
  const script = [{ text: 'first' }, { text: 'second' }]
  expect((await play(script)).answer.text).toBe('first')
  expect((await play(script, { modelCall: 1 })).answer.text).toBe('second')
  expect((await play(script, { modelCall: 2 })).answer).toMatchObject({ text: 'done', finish: 'stop', calls: [] })
})

test.each(['hello there', '{"not":"a script"}', '{broken', '[1]', '7'])('%s is answered with "You said"', async (text) => {
  const pieces: string[] = []
  const answer = await model.call(requestFor(text), (delta) => pieces.push(delta.text), new AbortController().signal)
  expect(answer.text).toBe(`You said: ${text}`)
  expect(pieces.length).toBeGreaterThan(1)
  expect(pieces.join('')).toBe(answer.text)
})

test('the script may be in a text part', async () => {
  const parts = [{ type: 'text' as const, text: '{"script":[{"text":"hi"}]}' }]
  expect((await model.call(requestFor(parts), () => {}, new AbortController().signal)).text).toBe('hi')
})

test.each([[[{ txt: 'x' }]], [[{ usage: { input: -1 } }]], ['no list'], [[{ error: { status: 'bad' } }]]])(
  'the script %j is told to be not valid',
  async (script) => {
    expect((await play(script)).answer.text).toMatch(/^The script is not valid: /)
  },
)

test('chunks are a list or a number', async () => {
  expect((await play([{ chunks: ['a', 'b', 'c'] }])).pieces).toEqual(['a', 'b', 'c'])
  expect((await play([{ text: 'abcdefg', chunks: 3 }])).pieces).toEqual(['abc', 'def', 'g'])
  expect((await play([{ text: 'abc' }])).pieces).toEqual(['abc'])
})

test('tools are called, with their problems told', async () => {
  const { answer } = await play([
    { text: 'so', tools: [{ name: 'echo', input: { value: 1 } }, { name: 'wait', input: { ms: 'x' } }, { name: 'rocket' }] },
  ])
  expect(answer.finish).toBe('tool-calls')
  expect(answer.calls.map((call) => [call.name, call.problem?.errorType ?? null])).toEqual([
    ['echo', null],
    ['wait', 'validation'],
    ['rocket', 'unknown_tool'],
  ])
  expect(answer.content).toHaveLength(4)
  expect(new Set(answer.calls.map((call) => call.providerCallId)).size).toBe(3)
})

test('finish length drops the calls', async () => {
  expect((await play([{ text: 'so', finish: 'length', tools: [{ name: 'echo', input: { value: 1 } }] }])).answer).toMatchObject({
    finish: 'length',
    calls: [],
  })
})

test('the estimate is exactly the usage of the answer that will be played', async () => {
  for (const answer of [
    { text: 'x', usage: { input: 1_000_000, output: 1_000_000 } },
    { text: 'x', usage: { input: 0, output: 0 } },
    { text: 'abc' },
  ]) {
    const request = requestFor(JSON.stringify({ script: [answer] }))
    const { usage } = await model.call(request, () => {}, new AbortController().signal)
    // Only a script that names its usage says it all: else instructions and history count, too.
    const fixed = answer.usage === undefined ? {} : { fixed: true }
    expect(model.estimate(request)).toEqual({ inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, ...fixed })
  }
  const dear = requestFor('{"script":[{"usage":{"input":1000000,"output":1000000}}]}')
  expect(worstCaseMicros(model.estimate(dear), scriptedPrice)).toBe(18_000_000)
})

test('errors fail the first `times` tries, or always', async () => {
  const twice = [{ text: 'ok', error: { status: 429, times: 2, retryAfter: 3 } }]
  await expect(play(twice)).rejects.toMatchObject({ code: 'provider_rate_limited', status: 429, retryAfterMs: 3_000 })
  await expect(play(twice, { attempt: 1 })).rejects.toMatchObject({ code: 'provider_rate_limited' })
  expect((await play(twice, { attempt: 2 })).answer.text).toBe('ok')
  await expect(play([{ error: { status: 529 } }], { attempt: 99 })).rejects.toMatchObject({ code: 'provider_unavailable' })
  await expect(play([{ error: { status: 401 } }])).rejects.toMatchObject({ code: 'provider_auth' })
})

test('a cut comes after its chunks on the first try only', async () => {
  const script = [{ chunks: ['a', 'b', 'c'], cutAfterChunks: 2 }]
  const pieces: string[] = []
  const request = requestFor(JSON.stringify({ script }))
  const cut = model.call(request, (delta) => pieces.push(delta.text), new AbortController().signal)
  await expect(cut).rejects.toMatchObject({ code: 'provider_unavailable' })
  expect(pieces).toEqual(['a', 'b'])
  expect((await play(script, { attempt: 1 })).answer.text).toBe('abc')
})

test('delays wait on the clock and stop on the signal', async () => {
  slept.length = 0
  await play([{ chunks: ['a', 'b', 'c'], delayMs: 7, chunkDelayMs: 9 }])
  expect(slept).toEqual([7, 9, 9])
  const controller = new AbortController()
  const reason = new Error('stop')
  const calling = play([{ text: 'x', delayMs: 60_000 }], {}, controller.signal)
  setImmediate(() => controller.abort(reason))
  await expect(calling).rejects.toBe(reason)
})

async function run(name: string, input: unknown, context: Partial<ToolContext> = {}): Promise<unknown> {
  const tool: AnyTool | undefined = scriptedTools.find((candidate) => candidate.name === name)
  return tool?.run?.(tool.input.parse(input) as never, context as ToolContext)
}

test('the tools do what 6-quality says', async () => {
  const events: unknown[] = []
  expect(scriptedTools.map((tool) => [tool.name, tool.effect])).toEqual([
    ['echo', 'pure'],
    ['wait', 'pure'],
    ['stubborn', 'pure'],
    ['count', 'idempotent'],
    ['charge', 'once'],
    ['fail', 'pure'],
    ['emit', 'pure'],
    ['outside', 'external'],
  ])
  expect(await run('echo', { value: { a: [1] } })).toEqual({ a: [1] })
  expect(await run('count', { key: 'k' }, { idempotencyKey: 'i' })).toMatchObject({ key: 'k' })
  expect(await run('charge', { key: 'k', cents: 5 })).toEqual({ charged: 5 })
  await expect(run('fail', { message: 'boom' })).rejects.toThrow('boom')
  await run('emit', { type: 't', data: 1 }, { emit: (type, data) => void events.push([type, data]) })
  expect(events).toEqual([['t', 1]])
})

test('wait stops on its signal, stubborn does not', async () => {
  const signal = AbortSignal.abort()
  await expect(run('wait', { ms: 60_000 }, { signal })).rejects.toThrow()
  const started = performance.now()
  await run('stubborn', { ms: 30 }, { signal })
  expect(performance.now() - started).toBeGreaterThan(25)
})

test('a gate holds the last piece, an error and the tool wait until its file is there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-gate-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const gate = join(folder, 'gate')
  const over: string[] = []
  const pieces: string[] = []
  const script = (answer: object): string => JSON.stringify({ script: [{ ...answer, gate }] })
  const call = (answer: object, signal = new AbortController().signal) =>
    model.call(requestFor(script(answer)), (delta) => pieces.push(delta.text), signal)
  const held = [
    call({ chunks: ['a', 'b', 'c'] }).then(() => over.push('text')),
    call({ error: { status: 401 } }).catch(() => over.push('error')),
    run('wait', { ms: 0, gate }, { signal: new AbortController().signal }).then(() => over.push('tool')),
  ]
  await expect(run('wait', { ms: 0, gate }, { signal: AbortSignal.timeout(50) })).rejects.toThrow()
  await expect(call({ text: 'x' }, AbortSignal.timeout(50))).rejects.toThrow()
  expect([pieces, over]).toEqual([['a', 'b'], []])
  await writeFile(gate, '')
  await Promise.all(held)
  expect([pieces, over.toSorted()]).toEqual([
    ['a', 'b', 'c'],
    ['error', 'text', 'tool'],
  ])
})

test('each gate of the pieces holds one piece', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-gate-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const pieceGates = ['second', 'third'].map((name) => join(folder, name))
  const pieces: string[] = []
  const request = requestFor(JSON.stringify({ script: [{ chunks: ['a', 'b', 'c', 'd'], pieceGates }] }))
  const heldAfter = async (last: string): Promise<string> => {
    const stop = new AbortController()
    const call = model.call(
      request,
      ({ text }) => {
        pieces.push(text)
        if (text === last) setTimeout(() => stop.abort(), 50)
      },
      stop.signal,
    )
    await expect(call).rejects.toThrow()
    return pieces.splice(0).join('')
  }
  expect(await heldAfter('a')).toBe('a')
  await writeFile(String(pieceGates[0]), '')
  expect(await heldAfter('b')).toBe('ab')
  await writeFile(String(pieceGates[1]), '')
  await model.call(request, ({ text }) => pieces.push(text), new AbortController().signal)
  expect(pieces.join('')).toBe('abcd')
})

test('a template whose provider has no key is answered by the scripted model, with one warning', async () => {
  const asked: string[] = []
  const real: ModelPort = {
    ...model,
    call: (request, onDelta, signal) => (asked.push(request.model), model.call(request, onDelta, signal)),
  }
  const warnings: string[] = []
  const log = { info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
  const entry = (keyVariable: string) => ({ keyVariable, prices: {}, load: () => Promise.reject(new Error('not loaded')) })
  const providers = { a: entry('A_KEY'), b: entry('B_KEY') }
  const env = (name: string): string => (name === 'B_KEY' ? 'x' : '')
  const models = localModels({ models: real, scripted: model, providers, env, real: true, log })
  const signal = new AbortController().signal
  await models.call(requestFor('hi', { model: 'a/one' }), () => {}, signal)
  await models.call(requestFor('hi', { model: 'a/two' }), () => {}, signal)
  await models.call(requestFor('hi', { model: 'local/scripted' }), () => {}, signal)
  expect(asked).toEqual([])
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain('A_KEY')
  await models.call(requestFor('hi', { model: 'b/one' }), () => {}, signal)
  expect(asked).toEqual(['b/one'])
  const embedded = localModels({ models: real, scripted: model, providers, env, real: false, log })
  await embedded.call(requestFor('hi', { model: 'b/one' }), () => {}, signal)
  expect(asked, 'a key alone spends no money').toEqual(['b/one'])
  expect(warnings[1]).toContain('--real models')
  await sleep(0)
})
