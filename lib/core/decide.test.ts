import { describe, expect, test } from 'vitest'
import { decide, mostSlices, type Rules } from '#lib/core/decide'
import { defaultLimits } from '#lib/core/limits'
import type { Opened } from '#lib/core/run'
import { call, opened, row } from '#lib/core/state.fixture'

const rules: Rules = { maxStepCrashes: 3, unknownOutcome: 'seal' }
const limits = (change: Partial<typeof defaultLimits>): { limits: typeof defaultLimits } => ({ limits: { ...defaultLimits, ...change } })
const answered = [row(1, 'user'), row(2, 'assistant', 'the answer')]

describe('decide', () => {
  test('the same state gives the same decision and is not changed', () => {
    const state = opened({ calls: [call('a')] })
    const before = structuredClone(state)
    expect(decide(state, rules)).toEqual(decide(structuredClone(state), rules))
    expect(state).toEqual(before)
  })

  test.each<[string, Opened, string]>([
    ['a user message asks for a model call', opened(), 'model'],
    ['results ask for a model call', opened({ window: [...answered, row(3, 'tool')] }), 'model'],
    ['a model call is refused without a price', opened({ settings: { ...opened().settings, price: null } }), 'price_unknown'],
    ['maxSteps', opened({ run: { step: 2, ...limits({ maxSteps: 2 }) } }), 'max_steps'],
    ['maxSteps zero', opened({ run: limits({ maxSteps: 0 }) }), 'max_steps'],
    [
      'maxTokens',
      opened({ run: { usage: { ...opened().run.usage, inputTokens: 6, outputTokens: 4 }, ...limits({ maxTokens: 10 }) } }),
      'max_tokens',
    ],
    ['maxWallMs before a model call', opened({ run: { workMs: 10, ...limits({ maxWallMs: 10 }) } }), 'max_time'],
    ['maxWallMs before a tool', opened({ calls: [call('a')], run: { workMs: 10, ...limits({ maxWallMs: 10 }) } }), 'max_time'],
    [
      'an answer that is there is not thrown away',
      opened({ window: answered, run: { modelCalls: 1, step: 2, workMs: 10, ...limits({ maxWallMs: 10, maxSteps: 2 }) } }),
      'end_turn',
    ],
    ['a retry that finds the history complete has nothing to ask', opened({ window: answered }), 'end_turn'],
    [
      'maxToolCalls counts those that would start',
      opened({ calls: [call('a'), call('b')], run: { toolCalls: 9, ...limits({ maxToolCalls: 10 }) } }),
      'max_tool_calls',
    ],
    [
      'maxToolCalls may be used to the last',
      opened({ calls: [call('a')], run: { toolCalls: 9, ...limits({ maxToolCalls: 10 }) } }),
      'tools',
    ],
    [
      'one that a person has allowed again was counted when it began',
      opened({
        calls: [call('a', { state: 'approved', effect: 'once', attempts: 1 })],
        run: { toolCalls: 1, ...limits({ maxToolCalls: 1 }) },
      }),
      'tools',
    ],
    [
      'calls at work are counted already',
      opened({ calls: [call('a', { state: 'executing', epoch: 2 })], run: { toolCalls: 10, ...limits({ maxToolCalls: 10 }) } }),
      'tools',
    ],
    ['three take-overs are borne', opened({ run: { crashes: 3 } }), 'model'],
    ['the fourth is not', opened({ run: { crashes: 4 } }), 'step_crashed'],
    ['a step may be cut once', opened({ run: { cuts: 1 } }), 'model'],
    ['and not twice', opened({ run: { cuts: 2 } }), 'step_too_long'],
    ['many slices are borne', opened({ run: { slices: mostSlices(defaultLimits.maxSteps) } }), 'model'],
    ['but not without end', opened({ run: { slices: mostSlices(defaultLimits.maxSteps) + 1 } }), 'step_too_long'],
    [
      'a stop comes before all',
      opened({ flags: { stop: 'interrupted', hold: false }, window: answered, run: { crashes: 9 } }),
      'interrupted',
    ],
  ])('%s', (_name, state, expected) => {
    const decision = decide(state, rules)
    expect(decision.kind === 'end' ? decision.stopReason : decision.kind).toBe(expected)
  })

  test('invariant 12: how many take-overs are borne is a setting', () => {
    const crashed = opened({ run: { crashes: 2 } })
    const kinds = [1, 2].map((maxStepCrashes) => decide(crashed, { ...rules, maxStepCrashes }).kind)
    expect(kinds).toEqual(['end', 'model'])
  })

  test.each<[string, Opened, string]>([
    ['killed', opened({ flags: { stop: 'killed', hold: false } }), 'The run was killed; what had been committed is kept.'],
    ['step_crashed', opened({ run: { step: 6, crashes: 4 } }), 'Step 7 took its process down 4 times; what had been committed is kept.'],
    ['step_too_long', opened({ run: { step: 6, cuts: 2 } }), 'Step 7 did not fit into a slice twice; split the work or raise maxDuration.'],
    ['max_steps', opened({ run: { step: 2, ...limits({ maxSteps: 2 }) } }), 'The run may take 2 steps.'],
    ['max_tokens', opened({ run: limits({ maxTokens: 0 }) }), 'The run may use 0 tokens.'],
    ['max_tool_calls', opened({ calls: [call('a')], run: limits({ maxToolCalls: 0 }) }), 'The run may make 0 tool calls.'],
    ['max_time', opened({ run: { workMs: 10, ...limits({ maxWallMs: 10 }) } }), 'The run has worked for its 10 ms.'],
  ])('invariant 11: an end by %s says so in code and in words, with no output', (code, state, message) => {
    expect(decide(state, rules)).toMatchObject({ kind: 'end', stopReason: code, output: null, error: { code, message } })
  })

  test('the answer of the run is the text of its last message, without what the model thought', () => {
    const content: Opened['window'][number]['content'] = [
      { type: 'text', text: 'the ' },
      { type: 'reasoning', text: 'hidden' },
      { type: 'text', text: 'answer' },
    ]
    for (const window of [answered, [row(1, 'user'), row(2, 'assistant', content)]]) {
      expect(decide(opened({ window }), rules)).toMatchObject({ kind: 'end', state: 'completed', output: 'the answer', error: null })
    }
  })

  test('a stop names its state', () => {
    expect(decide(opened({ flags: { stop: 'killed', hold: false } }), rules)).toMatchObject({ state: 'killed', stopReason: 'killed' })
    expect(decide(opened({ flags: { stop: 'cancelled', hold: false } }), rules)).toMatchObject({ state: 'cancelled' })
  })
})

describe('invariant 4: calls of an earlier epoch', () => {
  const orphan = (effect: 'pure' | 'idempotent' | 'once'): ReturnType<typeof call> => call(effect, { effect, state: 'executing', epoch: 1 })

  test('pure and idempotent ones run again, once ones are sealed, fresh ones start', () => {
    const decision = decide(opened({ calls: [orphan('pure'), orphan('idempotent'), orphan('once'), call('fresh')] }), rules)
    expect(decision).toMatchObject({
      kind: 'tools',
      start: [{ name: 'pure' }, { name: 'idempotent' }, { name: 'fresh' }],
      seal: [{ name: 'once' }],
      inHand: [],
    })
  })

  test('a template may ask that an unknown outcome ends the run; one that is known, or does not matter, never does', () => {
    const fail: Rules = { ...rules, unknownOutcome: 'fail' }
    const two = [orphan('once'), call('charge', { effect: 'once', state: 'executing', epoch: 1 })]
    expect(decide(opened({ calls: two }), fail)).toMatchObject({
      kind: 'end',
      stopReason: 'unknown_outcome',
      error: { code: 'unknown_outcome', message: 'The outcome of once, charge is unknown: check before you retry.' },
    })
    const atWork = call('here', { effect: 'once', state: 'executing', epoch: 2 })
    const decision = decide(opened({ calls: [orphan('pure'), orphan('idempotent'), atWork, call('fresh')] }), fail)
    expect(decision).toMatchObject({ kind: 'tools', start: [{ name: 'pure' }, { name: 'idempotent' }, { name: 'fresh' }], seal: [] })
  })

  test('those of this epoch are at work here', () => {
    const decision = decide(opened({ calls: [call('once', { effect: 'once', state: 'executing', epoch: 2 })] }), rules)
    expect(decision).toMatchObject({ kind: 'tools', inHand: [{ name: 'once' }], start: [], seal: [] })
  })
})

describe('calls that somebody must answer', () => {
  const asked = call('asked', { state: 'approval_required' })
  const outside = call('outside', { state: 'waiting_external', effect: 'external' })

  test('what can run goes first, then the run pauses, then it goes on', () => {
    expect(decide(opened({ calls: [asked, call('free')] }), rules)).toMatchObject({ kind: 'tools', start: [{ name: 'free' }] })
    const atWork = call('busy', { state: 'executing', epoch: 2 })
    expect(decide(opened({ calls: [asked, atWork] }), rules)).toMatchObject({ kind: 'tools', start: [], inHand: [{ name: 'busy' }] })
    for (const calls of [[asked], [outside], [asked, outside, call('done', { state: 'completed' })]]) {
      expect(decide(opened({ calls }), rules)).toEqual({ kind: 'pause' })
    }
    expect(decide(opened({ calls: [{ ...asked, state: 'approved' }, outside] }), rules)).toMatchObject({ start: [{ name: 'asked' }] })
  })

  test('a template may ask a person about an unknown outcome', () => {
    const orphan = call('once', { effect: 'once', state: 'executing', epoch: 1 })
    expect(decide(opened({ calls: [orphan] }), { ...rules, unknownOutcome: 'pause' })).toMatchObject({
      kind: 'tools',
      seal: [],
      ask: [{ name: 'once' }],
    })
  })

  test('a stop comes before a pause', () => {
    expect(decide(opened({ calls: [asked], flags: { stop: 'cancelled', hold: false } }), rules)).toMatchObject({ kind: 'end' })
  })
})

describe('A77: authority that has expired', () => {
  const over: Rules = { ...rules, expired: true }
  const expired = { kind: 'end', state: 'expired', stopReason: 'expired', error: { code: 'authority_expired' } }

  test('begins neither a model call nor a tool', () => {
    expect(decide(opened(), over)).toMatchObject(expired)
    expect(decide(opened({ calls: [call('a')] }), over)).toMatchObject(expired)
    expect(decide(opened({ calls: [call('a', { state: 'executing', epoch: 0 })] }), over)).toMatchObject(expired)
  })

  test('finishes what is in hand, and an answer that is there', () => {
    const inHand = call('a', { state: 'executing', epoch: opened().lease.epoch })
    expect(decide(opened({ calls: [inHand, call('b')] }), over)).toMatchObject({ kind: 'tools', inHand: [inHand], start: [] })
    expect(decide(opened({ window: answered }), over)).toMatchObject({ kind: 'end', state: 'completed' })
  })

  test('what this slice has handed to the outside, or to a person, is not in its hand', () => {
    const { epoch } = opened().lease
    for (const state of ['waiting_external', 'approval_required'] as const) {
      const handed = call('handed', { state, epoch, effect: 'external' })
      expect(decide(opened({ calls: [handed] }), over)).toMatchObject(expired)
      expect(decide(opened({ calls: [handed, call('free')] }), rules)).toMatchObject({ inHand: [], start: [{ name: 'free' }] })
    }
  })
})

test('a model that is not priced on the agent row may be another one', () => {
  const unpriced = { settings: { ...opened().settings, price: null } }
  expect(decide(opened({ ...unpriced, narrowing: { model: 'local/other' } }), rules)).toEqual({ kind: 'model' })
  expect(decide(opened({ ...unpriced, run: { narrowing: { model: 'local/other' } } }), rules)).toEqual({ kind: 'model' })
})
