import { expect, test } from 'vitest'
import { applyCommit, project, resultMessage } from '#lib/core/project'
import { noUsage, type ToolCall } from '#lib/core/run'
import type { CallWrite, CommitAnswer } from '#lib/core/commit'
import { call, opened, row } from '#lib/core/state.fixture'

function written(from: ToolCall, change: Partial<CallWrite> = {}): CallWrite {
  const { callId, step, index, name, input, effect, idempotencyKey, state, output } = from
  return { callId, step, index, name, input, effect, idempotencyKey, state, output, ...change }
}
const text = (value: string): { type: 'text'; value: string } => ({ type: 'text', value })
const answer: CommitAnswer = {
  ok: true,
  firstSeq: 2,
  lastSeq: 5,
  allowed: true,
  released: false,
  steered: false,
  reserved: 'none',
  flags: { stop: null, hold: false },
  state: 'running',
  stopReason: null,
  costMicros: 7,
  reservedMicros: 0,
  toolCalls: 1,
  windowFrom: 1,
  entered: [],
  enteredFrom: 2,
  gates: {},
  decided: [],
  outbox: [],
}

test('an answer enters the window and counts; the state given is not changed', () => {
  const state = opened({ run: { crashes: 2, attempt: 1 } })
  const before = structuredClone(state)
  const message = { role: 'assistant' as const, content: 'hi', bytes: 4, estTokens: 2 }
  const next = project(state, {
    messages: [message],
    count: { step: 1, modelCalls: 1, attempt: 0, workMs: 30 },
    usage: { ...noUsage, inputTokens: 5 },
  })
  expect(next.window.map((entry) => [entry.role, entry.seq])).toEqual([
    ['user', 1],
    ['assistant', 0],
  ])
  expect(next.run).toMatchObject({ step: 1, modelCalls: 1, attempt: 0, workMs: 30, crashes: 0, usage: { inputTokens: 5 } })
  expect(state).toEqual(before)
})

test('a commit without progress keeps the count of crashes', () => {
  expect(project(opened({ run: { crashes: 2 } }), { progress: false }).run.crashes).toBe(2)
})

test('results enter with the last one, in call order', () => {
  const calls = [call('a', { index: 0, state: 'executing', epoch: 2 }), call('b', { index: 1, state: 'executing', epoch: 2 })]
  const half = project(opened({ calls }), { calls: [written(call('b', { index: 1 }), { state: 'completed', output: text('B') })] })
  expect([half.window.length, half.calls.map((one) => one.state)]).toEqual([1, ['executing', 'completed']])
  const whole = project(half, { calls: [written(call('a', { index: 0 }), { state: 'failed', output: text('A') })] })
  expect(whole.calls).toEqual([])
  expect(whole.window.at(-1)).toMatchObject({
    role: 'tool',
    content: [
      { toolName: 'a', output: text('A') },
      { toolName: 'b', output: text('B') },
    ],
  })
})

test('a call that is final is never changed again', () => {
  const calls = [call('a', { state: 'sealed', output: text('sealed') }), call('b')]
  const next = project(opened({ calls }), { calls: [written(call('a'), { state: 'completed', output: text('late') })] })
  expect(next.calls[0]).toMatchObject({ state: 'sealed', output: text('sealed') })
})

test('after the commit the numbers are those of the database, and what was started is executing under this epoch', () => {
  const state = opened()
  const message = { role: 'assistant' as const, content: 'x', bytes: 1, estTokens: 1 }
  applyCommit(state, { messages: [message], calls: [written(call('a'))] }, { start: ['call_a'] }, answer)
  expect(state.window.map((entry) => entry.seq)).toEqual([1, 2])
  expect(state.calls).toMatchObject([{ state: 'executing', epoch: 2, attempts: 1 }])
  expect(state.run).toMatchObject({ costMicros: 7, toolCalls: 1 })
  expect(state.lastSeq).toBe(5)
})

test('invariant 10: what was intended is not done when the commit met a stop', () => {
  const state = opened({ calls: [call('a')] })
  applyCommit(state, {}, { start: ['call_a'] }, { ...answer, allowed: false, flags: { stop: 'interrupted', hold: false } })
  expect(state.calls).toMatchObject([{ state: 'pending', attempts: 0 }])
  expect(state.flags.stop).toBe('interrupted')
})

test('a moved window drops what is before it, but keeps the first user messages where the template says so', () => {
  const window = [row(1, 'user'), row(2, 'assistant'), row(3, 'user'), row(4, 'assistant'), row(5, 'user')]
  const plain = opened({ window })
  applyCommit(plain, {}, {}, { ...answer, windowFrom: 5 })
  expect(plain.window.map((entry) => entry.seq)).toEqual([5])
  const kept = opened({ window })
  kept.settings = { ...kept.settings, window: { ...kept.settings.window, keepFirst: 2 } }
  applyCommit(kept, {}, {}, { ...answer, windowFrom: 5 })
  expect(kept.window.map((entry) => entry.seq)).toEqual([1, 5])
  const third = opened({ window })
  third.settings = { ...third.settings, window: { ...third.settings.window, keepFirst: 3 } }
  applyCommit(third, {}, {}, { ...answer, windowFrom: 5 })
  expect(third.window.map((entry) => entry.seq)).toEqual([1, 3, 5])
})

test('a call that a budget has refused has failed with what the model is told, and is not started; the last one takes all with it', () => {
  const output = { type: 'error-text' as const, value: 'no room' }
  const state = opened({ calls: [call('a'), call('b', { index: 1 })] })
  applyCommit(state, {}, { start: ['call_a', 'call_b'] }, { ...answer, refusedCalls: [{ callId: 'call_a', output }] })
  expect(state.calls).toMatchObject([
    { state: 'failed', output, attempts: 0 },
    { state: 'executing', attempts: 1 },
  ])
  const alone = opened({ calls: [call('a')] })
  applyCommit(alone, {}, { start: ['call_a'] }, { ...answer, refusedCalls: [{ callId: 'call_a', output }] })
  expect(alone.calls).toEqual([])
})

test('an outcome leaves a call what is known of it beside: how often it ran, under which lease, and who has allowed it', () => {
  const approval = { id: 'apr_1', by: 'key:a', inputHash: 'i', fingerprint: 'f' }
  const known = call('a', { state: 'executing', attempts: 2, epoch: 7, approval })
  const outcome = written(known, { state: 'completed', output: text('A') })
  const next = project(opened({ calls: [known, call('b', { index: 1 })] }), { calls: [outcome] })
  expect(next.calls[0]).toMatchObject({ state: 'completed', attempts: 2, epoch: 7, approval })
})

test('a call of the outside waits there when it is started', () => {
  const state = opened({ calls: [call('a', { effect: 'external' })] })
  applyCommit(state, {}, { start: ['call_a'] }, answer)
  expect(state.calls).toMatchObject([{ state: 'waiting_external', epoch: 2, attempts: 1 }])
})

test('usage adds up in every field, and a value that was taken away has no key any more', () => {
  const usage = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4, reasoningTokens: 5 }
  const state = opened({ run: { usage, modelCalls: 2 } })
  state.state = { kept: 1, gone: 2 }
  applyCommit(state, { usage, count: { modelCalls: 1 }, values: { gone: undefined, made: 3 } }, {}, answer)
  expect(state.run.usage).toEqual({ inputTokens: 2, outputTokens: 4, cacheReadTokens: 6, cacheWriteTokens: 8, reasoningTokens: 10 })
  expect(state.run.modelCalls).toBe(3)
  expect(state.state).toStrictEqual({ kept: 1, made: 3 })
})

test('counters stand where the step has put them, and those that it does not name stay', () => {
  const before = { step: 4, attempt: 3, cuts: 1, emptyAnswers: 1, windowRetries: 1, modelIndex: 2 }
  const after = { step: 5, attempt: 2, cuts: 2, emptyAnswers: 2, windowRetries: 2, modelIndex: 1 }
  const zero = { step: 0, attempt: 0, cuts: 0, emptyAnswers: 0, windowRetries: 0, modelIndex: 0 }
  const state = opened({ run: before })
  expect(project(state, {}).run).toMatchObject(before)
  expect(project(state, { count: after }).run).toMatchObject(after)
  expect(project(state, { count: zero }).run).toMatchObject(zero)
})

test('invariant 4: results stand in the order of the calls, step by step, in whichever order they came', () => {
  const done = (name: string, step: number, index: number): ToolCall => call(name, { step, index, state: 'completed', output: text(name) })
  const calls = [done('d', 2, 1), done('b', 1, 2), done('c', 2, 0), done('a', 1, 0), { ...done('e', 3, 0), output: null }]
  const results = calls.map(({ callId, name, output }) => ({
    type: 'tool-result',
    toolCallId: callId,
    toolName: name,
    output: output ?? text(''),
  }))
  expect(resultMessage(calls).content).toEqual(results.toSorted((a, b) => (a.toolName < b.toolName ? -1 : 1)))
  expect(calls.map(({ name }) => name)).toEqual(['d', 'b', 'c', 'a', 'e'])
})

test('several messages of a step are numbered one after the other, and what a person has decided meanwhile holds', () => {
  const message = { role: 'assistant' as const, content: 'x', bytes: 1, estTokens: 1 }
  const asked = call('a', { state: 'approval_required' })
  const state = opened({ calls: [asked, call('b', { index: 1 })] })
  const decided: ToolCall[] = [{ ...asked, state: 'approved', input: { changed: true } }]
  applyCommit(state, { messages: [message, message, message] }, { start: ['call_b'] }, { ...answer, decided })
  expect(state.window.map((entry) => entry.seq)).toEqual([1, 2, 3, 4])
  expect(state.calls).toMatchObject([{ state: 'approved', input: { changed: true } }, { state: 'executing' }])
})
