import { expect, test } from 'vitest'
import { historyOf, isSuperseded, regenerateKind, type Rows } from '#lib/api/chat-history'
import type { RunId } from '#lib/core/ids'
import type { ToolCall, ToolCallState } from '#lib/core/run'

type Row = Rows['messages'][number]
let seq = 0
const row = (role: Row['role'], content: Row['content'], runId: RunId = 'run_1', kind = 'message'): Row => ({
  seq: ++seq,
  runId,
  role,
  kind,
  content,
  estTokens: 1,
  at: 'then',
})
const use = (toolCallId: string) => ({ type: 'tool-call' as const, toolCallId, toolName: 'charge', input: {} })
const call = (callId: `call_${string}`, state: ToolCallState, value: ToolCall['output'] = null): ToolCall => ({
  callId,
  runId: 'run_1',
  step: 1,
  index: 0,
  name: 'charge',
  input: { cents: 5 },
  effect: 'once',
  state,
  output: value,
  attempts: 1,
  epoch: 1,
  idempotencyKey: callId,
})
const history = (messages: Row[], more: Partial<Rows> = {}) => historyOf({ messages, queued: [], calls: [], pending: [], ...more })

test('a run is one message of the assistant with the id of its stream, whatever it took', () => {
  const messages = history([
    row('user', 'Hi'),
    row('assistant', [
      { type: 'reasoning', text: 'hm' },
      { type: 'text', text: 'Let me ' },
      { type: 'text', text: 'see' },
    ]),
    row('tool', []),
    row('assistant', 'There'),
  ])
  expect(messages.map(({ id, role }) => [id, role])).toEqual([
    ['usr_1', 'user'],
    ['run_1', 'assistant'],
  ])
  expect(messages[1]?.parts).toEqual([
    { type: 'step-start' },
    { type: 'reasoning', text: 'hm', state: 'done' },
    { type: 'text', text: 'Let me see', state: 'done' },
    { type: 'step-start' },
    { type: 'text', text: 'There', state: 'done' },
  ])
})

test('a message that was steered into a run parts its answer; ids stay different and the same each time', () => {
  const rows = [row('user', 'Hi'), row('assistant', 'One'), row('user', 'Also'), row('assistant', 'Two')]
  const messages = history(rows)
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
  expect(new Set(messages.map(({ id }) => id)).size).toBe(4)
  expect(history(rows)).toEqual(messages)
})

test('each state of a call is a state of its part', () => {
  const calls = [
    call('call_a', 'completed', { type: 'json', value: { charged: 5 } }),
    call('call_b', 'failed', { type: 'error-json', value: { message: 'no' } }),
    call('call_c', 'sealed', { type: 'error-text', value: 'unknown' }),
    {
      ...call('call_d', 'denied', { type: 'error-text', value: 'refused' }),
      approval: { id: 'apr_d', by: 'key:key_1', inputHash: '', fingerprint: '' },
    },
    call('call_e', 'approval_required'),
    call('call_f', 'waiting_external'),
  ]
  const rows = [
    row(
      'assistant',
      calls.map(({ callId }) => use(callId)),
    ),
  ]
  const pending = [{ id: 'apr_1', callId: 'call_e' as const, reason: 'it costs' }]
  const [message] = history(rows, { calls, pending })
  expect(message?.parts.slice(1)).toMatchObject([
    { type: 'tool-charge', state: 'output-available', input: { cents: 5 }, output: { charged: 5 } },
    { state: 'output-error', errorText: 'no' },
    { state: 'output-error', errorText: 'unknown' },
    { state: 'output-denied', approval: { id: 'apr_d', approved: false } },
    { state: 'approval-requested', approval: { id: 'apr_1', requestReason: 'it costs' } },
    { state: 'input-available' },
  ])
})

test('an answer that was made again is superseded, and the message is there once', () => {
  const messages = history([
    row('user', 'Hi'),
    row('assistant', 'One'),
    row('user', 'Hi', 'run_2', regenerateKind),
    row('assistant', 'Two', 'run_2'),
  ])
  expect(messages.map((message) => [message.id, isSuperseded(message)])).toEqual([
    ['usr_1', false],
    ['run_1', true],
    ['run_2', false],
  ])
})

test('an answer that is asked for again and waits for its turn has taken the place of the one before it', () => {
  const again = { runId: 'run_2' as const, role: 'user' as const, kind: regenerateKind, mode: 'enqueue', state: 'queued' as const }
  const messages = history([row('user', 'Hi'), row('assistant', 'One')], { queued: [{ ...again, content: 'Hi', at: 'now' }] })
  expect(messages.map((message) => [message.id, isSuperseded(message)])).toEqual([
    ['usr_1', false],
    ['run_1', true],
  ])
})

test('queued messages come last under the id that they keep, files as they were sent', () => {
  const content = [
    { type: 'file', data: 'https://x.example/a.pdf', mediaType: 'application/pdf', filename: 'a.pdf' },
    { type: 'image', image: 'data:,' },
  ]
  const queued = [
    { runId: 'run_9' as const, role: 'user' as const, kind: 'message', mode: 'enqueue', state: 'queued' as const, content, at: 'now' },
  ]
  expect(history([row('user', 'Hi')], { queued })[1]).toMatchObject({
    id: 'usr_9',
    parts: [
      { type: 'file', url: 'https://x.example/a.pdf', mediaType: 'application/pdf', filename: 'a.pdf' },
      { type: 'file', url: 'data:,', mediaType: 'image/*' },
    ],
    metadata: { state: 'queued' },
  })
})
