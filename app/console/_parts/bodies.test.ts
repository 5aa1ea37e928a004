import { expect, test } from 'vitest'
import { StopModes } from '#app/console/_parts/agent/agent-actions.tsx'
import { decisionBody, editedInput, interruptBody, isWide, keyBody, limitsBody, switchBody } from '#app/console/_parts/bodies'

const fields =
  (held: Record<string, string>) =>
  (name: string): string =>
    held[name] ?? ''

test('an input that was edited is allowed as edited, and one that was left as it was asked is not sent', () => {
  const asked = '{ "to": "all" }'
  expect([editedInput(asked, null), editedInput(asked, asked), editedInput(asked, '{ "to": ')]).toEqual([null, null, undefined])
  const input = editedInput(asked, '{ "to": "one" }')
  expect(input).toEqual({ value: { to: 'one' } })
  const rest = { note: ' ', always: false }
  expect(decisionBody('allow', { ...rest, input })).toEqual({ decision: 'allow', input: { to: 'one' } })
  expect(decisionBody('allow', { ...rest, input: null })).toEqual({ decision: 'allow' })
  expect(decisionBody('allow', { ...rest, input: editedInput(asked, 'null') })).toEqual({ decision: 'allow', input: null })
})

test('a tool is allowed for good only by who has said so; a denial changes no input and allows nothing', () => {
  const given = { note: ' seen ', input: { value: 1 }, always: true }
  expect(decisionBody('allow', given)).toEqual({ decision: 'allow', note: 'seen', input: 1, always: true })
  expect(decisionBody('allow', { ...given, always: false })).toEqual({ decision: 'allow', note: 'seen', input: 1 })
  expect(decisionBody('deny', given)).toEqual({ decision: 'deny', note: 'seen' })
})

test('dollars are sent as micros; a field that was left empty limits nothing, and 0 allows nothing', () => {
  const none = { limitMicros: null, maxPerCallMicros: null, limitTokens: null, limitCalls: null }
  expect(limitsBody(fields({ period: 'day' }))).toEqual({ period: 'day', ...none })
  expect(limitsBody(fields({ period: 'month', limit: '5', perCall: '0.29', tokens: '1000', calls: '0' }))).toEqual({
    period: 'month',
    limitMicros: 5_000_000,
    maxPerCallMicros: 290_000,
    limitTokens: 1_000,
    limitCalls: 0,
  })
})

test('an interrupt names the run that was looked at, so that it cannot end the one that has followed', () => {
  expect(interruptBody('run_1', fields({}))).toEqual({ runId: 'run_1' })
  expect(interruptBody('run_1', fields({ reason: 'too long' }))).toEqual({ runId: 'run_1', reason: 'too long' })
})

test('a key ends after the days that were chosen, or never', () => {
  const now = Date.UTC(2026, 0, 1)
  const made = (expires: string) => keyBody(fields({ name: 'orders', expires }), ['agents:run'], now)
  expect(made('90')).toEqual({ name: 'orders', scopes: ['agents:run'], expiresAt: '2026-04-01T00:00:00.000Z' })
  expect(made('')).toEqual({ name: 'orders', scopes: ['agents:run'] })
})

test('what stops all is sent only when it was typed twice; one agent needs no more than its name', () => {
  const said = { mode: 'kill', reason: 'leak' }
  expect(['tenant', 'global', 'agent:a', 'user:*', ''].map(isWide)).toEqual([true, true, false, false, false])
  for (const scope of ['tenant', 'global']) {
    expect(() => switchBody(scope, fields(said))).toThrow(`Type ${scope} to confirm.`)
    expect(() => switchBody(scope, fields({ ...said, again: 'agent:a' }))).toThrow(`Type ${scope} to confirm.`)
    expect(switchBody(scope, fields({ ...said, again: scope }))).toEqual({ scope, ...said })
  }
  expect(switchBody('agent:a', fields(said))).toEqual({ scope: 'agent:a', ...said })
})

test('who chooses nothing holds, which can be taken back, and does not kill', () => {
  const inputs = JSON.stringify(StopModes()).match(/"value":"\w+"(,"defaultChecked":\w+)?/g)
  expect(inputs).toEqual(['"value":"hold","defaultChecked":true', '"value":"kill"'])
})
