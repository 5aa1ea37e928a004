import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import type { Effect } from '#lib/core/run'
import { testAgent, type TestedRun } from '#lib/testing/test-agent'

/** One run whose tool is called once for each of `acts`, in order; the state at its start is `state`. */
function playing(
  acts: readonly ((context: ToolContext) => unknown)[],
  { state = {}, effect = 'idempotent' }: { state?: Record<string, unknown>; effect?: Exclude<Effect, 'external'> } = {},
): Promise<TestedRun> {
  let turn = 0
  const run = (_input: object, context: ToolContext): unknown => acts[turn++]?.(context)
  const act = defineTool({ name: 'act', description: '', input: z.object({}), effect, run })
  const agent = defineAgent({ id: 'acting', model: 'anthropic/claude-haiku-5-5', instructions: '', tools: [act] })
  return testAgent(agent, { state, script: [...acts.map(() => ({ tools: [{ name: 'act' }] })), { text: 'end' }] })
}
const outputs = ({ calls }: TestedRun): unknown[] => calls.map(({ output }) => output?.value)

test('what a failed call has made of a value is dropped, also where it changed the value that it was given', async () => {
  const add = (item: string) => (context: ToolContext) => {
    const items = (context.state.get('items') ?? []) as string[]
    items.push(item)
    context.state.set('items', items)
    items.push('after it was set')
    if (item === 'b') throw new Error('the shop is away')
  }
  const run = await playing([add('a'), add('b'), add('c')], { state: { items: ['seed'] } })
  expect(run.calls.map(({ state }) => state)).toEqual(['completed', 'failed', 'completed'])
  expect(run.values).toEqual({ items: ['seed', 'a', 'c'] })
})

test('a call reads what the next slice would read: JSON, nothing inherited, and nothing that was taken away', async () => {
  const run = await playing(
    [
      ({ state }) => {
        state.set('when', new Date(0))
        state.set('old', undefined)
        state.set('none', null)
        return [state.get('when'), state.get('old') === undefined, state.get('none'), typeof state.get('constructor')]
      },
      ({ state }) => [state.get('when'), state.get('old') === undefined, state.get('none')],
    ],
    { state: { old: 'text' } },
  )
  const seen = ['1970-01-01T00:00:00.000Z', true, null]
  expect(outputs(run)).toEqual([[...seen, 'undefined'], seen])
  expect(Object.keys(run.values).toSorted()).toEqual(['none', 'when'])
})

test.each([
  ['a bigint', 'big', 5n, 'state.set("big"): the value is no JSON (Do not know how to serialize a BigInt)'],
  ['a function', 'call', () => 1, 'state.set("call"): the value is no JSON (function)'],
  ['a name that objects lose', '__proto__', {}, '"__proto__" is no key'],
  ['a name without letters', '', 1, 'state.set: "" is no key; a key has 1 to 128 characters'],
  ['a name of 129 characters', '😀'.repeat(129), 1, 'is no key; a key has 1 to 128 characters'],
  ['a name that is no text', 7 as never, 1, 'state.set: a number is no key'],
  ['a name that the store would change', 'a\u0000', 1, 'is no key; a key has 1 to 128 characters'],
  ['a name with half a character', 'a\ud83d', 1, 'is no key; a key has 1 to 128 characters'],
  ['a value above 64 KB', 'doc', 'é'.repeat(32_768), 'state.set("doc"): 65538 bytes of JSON, and one value may have 65536'],
])('%s cannot be set, and the call is told', async (_what, key, value, words) => {
  const run = await playing([({ state }) => state.set(key, value)])
  expect(run).toMatchObject({ state: 'completed', calls: [{ state: 'failed' }], values: {} })
  expect(JSON.stringify(run.calls[0]?.output)).toContain(words.replaceAll('"', String.raw`\"`))
})

test('a name may have 128 characters, however many bytes or units they are', async () => {
  const key = '😀'.repeat(128)
  expect(await playing([({ state }) => state.set(key, 1)])).toMatchObject({ calls: [{ state: 'completed' }], values: { [key]: 1 } })
})

test('all values of an agent are at most 256 KB, and what makes them smaller is always taken', async () => {
  const part = 'x'.repeat(60_000)
  const state = { a: part, b: part, c: part, d: part }
  const run = await playing([({ state: own }) => own.set('e', part), ({ state: own }) => own.set('a', 'short')], { state })
  expect(run.calls.map((call) => call.state)).toEqual(['failed', 'completed'])
  expect(JSON.stringify(run.calls[0]?.output)).toContain('all values of the agent may have 262144')
  const over = await playing([({ state: own }) => own.set('a', 'short')], { state: { ...state, e: part, f: part } })
  expect(over.calls.map((call) => call.state)).toEqual(['completed'])
})

test('an event holds what its data was when it was emitted, whatever it was', async () => {
  const progress: Record<string, unknown> = { done: 0, of: 3n }
  const run = await playing([
    ({ emit }) => {
      for (const done of [1, 2]) {
        progress['done'] = done
        emit('progress', progress)
      }
      progress['self'] = progress
      emit('progress', progress)
    },
  ])
  expect(run.emitted.map(({ data }) => data)).toEqual([
    { done: 1, of: '3' },
    { done: 2, of: '3' },
    { done: 2, of: '3', self: '[circular]' },
  ])
})

test('of all its events a call keeps the first hundred', async () => {
  const run = await playing([
    ({ emit }) => {
      for (let n = 1; n <= 102; n += 1) emit('count', n)
    },
    ({ emit }) => emit('count', 'of the next call'),
  ])
  expect(run.calls.map(({ state }) => state)).toEqual(['completed', 'completed'])
  expect(run.emitted.map(({ data }) => data)).toEqual([...Array.from({ length: 100 }, (_, index) => index + 1), 'of the next call'])
})

test('an event is at most 64 KB, and the call is told', async () => {
  const run = await playing([({ emit }) => emit('page', 'x'.repeat(65_535))])
  expect(run).toMatchObject({ calls: [{ state: 'failed' }], emitted: [] })
  expect(JSON.stringify(run.calls[0]?.output)).toContain('65537 bytes of JSON, and one event may have 65536')
})

test('a once call that has done its work is completed, whatever its result is', async () => {
  const cyclic: Record<string, unknown> = { id: 123n }
  cyclic['self'] = cyclic
  const broken = Object.assign(Object.create(null) as object, { toJSON: () => undefined })
  const done = (result: unknown) => (context: ToolContext) => {
    context.state.set('done', Number(context.state.get('done') ?? 0) + 1)
    return result
  }
  const run = await playing([done({ paid: 5, id: 123n }), done(cyclic), done(broken)], { effect: 'once' })
  expect(run.calls.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed'])
  expect(outputs(run)).toEqual([{ paid: 5, id: '123' }, { id: '123', self: '[circular]' }, '[object]'])
  expect(run.values).toEqual({ done: 3 })
})
