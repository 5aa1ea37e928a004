import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import {
  createBaton,
  type Agent,
  type AgentState,
  type Approval,
  type BatonEvent,
  type Budget,
  type BudgetPeriod,
  type Channel,
  type CreateAgent,
  type Decision,
  type EventType,
  type ExternalCall,
  type Limits,
  type MessageContent,
  type MessageFields,
  type Overrides,
  type PatchAgent,
  type PendingApproval,
  type PermissionRules,
  type Run,
  type RunState,
  type ToolCallRecord,
  type Usage,
  type UsageGroup,
  type WebhookType,
} from '#client'
import type { createAgentBody, messageContent, patchAgentBody, sendMessageBody } from '#lib/api/schemas'
import type { ApprovalView, DecideRequest, Waits } from '#lib/core/approvals'
import type { budgetPeriods } from '#lib/core/budget'
import type { BudgetView, UsageQuery } from '#lib/core/budget-store'
import { errorTable } from '#lib/core/errors'
import type { Overrides as CoreOverrides } from '#lib/core/overrides'
import type { AgentView, StoredEvent } from '#lib/core/pages'
import type { PermissionRules as CoreRules } from '#lib/core/policy'
import {
  isEnd,
  runState,
  stopReason,
  type AgentState as CoreAgentState,
  type RunState as CoreRunState,
  type ToolCall,
  type Usage as CoreUsage,
} from '#lib/core/run'
import type { RunView } from '#lib/core/store'
import type { WebhookEvent } from '#lib/core/webhooks'
import { statusOfEnd } from '../../lib/client/src/errors'
import { read } from '#tests/project/sources'
import { script, startWorld, type World } from '#tests/world'

describe('the types of the client are those of the server', () => {
  test('closed lists are the same on both sides', () => {
    expectTypeOf<RunState>().toEqualTypeOf<CoreRunState>()
    expectTypeOf<AgentState>().toEqualTypeOf<CoreAgentState>()
    expectTypeOf<Channel>().toEqualTypeOf<StoredEvent['channel']>()
    expectTypeOf<Usage>().toEqualTypeOf<CoreUsage>()
    expectTypeOf<ToolCallRecord['state']>().toEqualTypeOf<ToolCall['state']>()
    expectTypeOf<ToolCallRecord['effect']>().toEqualTypeOf<ToolCall['effect']>()
    expectTypeOf<Approval['state']>().toEqualTypeOf<ApprovalView['state']>()
    expectTypeOf<BudgetPeriod>().toEqualTypeOf<(typeof budgetPeriods)[number]>()
    expectTypeOf<UsageGroup>().toEqualTypeOf<UsageQuery['groupBy']>()
    expectTypeOf<Exclude<WebhookType, 'webhook.test'>>().toEqualTypeOf<WebhookEvent>()
  })

  test('what the client sends, the server takes', () => {
    expectTypeOf<MessageContent>().toExtend<z.input<typeof messageContent>>()
    expectTypeOf<MessageFields & { message: MessageContent }>().toExtend<z.input<typeof sendMessageBody>>()
    expectTypeOf<keyof MessageFields | 'message' | 'kind'>().toEqualTypeOf<keyof z.input<typeof sendMessageBody>>()
    expectTypeOf<keyof Limits>().toEqualTypeOf<keyof NonNullable<z.input<typeof sendMessageBody>['limits']>>()
    expectTypeOf<Overrides>().toExtend<CoreOverrides>()
    expectTypeOf<PermissionRules>().toExtend<CoreRules>()
    expectTypeOf<CreateAgent>().toExtend<z.input<typeof createAgentBody>>()
    expectTypeOf<PatchAgent>().toExtend<z.input<typeof patchAgentBody>>()
    expectTypeOf<keyof PatchAgent>().toEqualTypeOf<keyof z.input<typeof patchAgentBody>>()
    expectTypeOf<Decision>().toExtend<Pick<DecideRequest, 'decision' | 'note' | 'always' | 'input'>>()
  })

  test('what the server answers, the client expects', () => {
    expectTypeOf<RunView & { costUsd: number }>().toExtend<Run>()
    expectTypeOf<AgentView>().toExtend<Agent>()
    expectTypeOf<ApprovalView>().toExtend<Approval>()
    expectTypeOf<BudgetView>().toExtend<Budget>()
    expectTypeOf<Waits['approvals'][number]>().toExtend<PendingApproval>()
    expectTypeOf<Waits['externalCalls'][number] & { callbackUrl: string }>().toExtend<ExternalCall>()
  })

  test('every type of docs/events.md is one of the union, and nothing else is', () => {
    const rows = read('docs/events.md')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
    const documented = rows.flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z_]+)`/g)].map(([, type = '']) => type))
    const known: Record<EventType, true> = {
      text_start: true,
      text_delta: true,
      text_end: true,
      reasoning_start: true,
      reasoning_delta: true,
      reasoning_end: true,
      step_reset: true,
      tool_start: true,
      tool_end: true,
      done: true,
      state_changed: true,
      approval_required: true,
      approval_decided: true,
      blocked: true,
      usage: true,
      step_complete: true,
      retry: true,
      run_error: true,
      hook_failed: true,
      handed_off: true,
      resumed: true,
      message_entered: true,
      killed: true,
      held: true,
      window_moved: true,
      repaired: true,
      budget: true,
      custom: true,
    }
    expect(documented.toSorted()).toEqual(Object.keys(known).toSorted())
  })

  test('a run that ended badly has the status that HTTP gives it', () => {
    const bad = stopReason.options.filter((reason) => reason !== 'end_turn')
    expect(bad.map((reason) => [reason, statusOfEnd(reason)])).toEqual(bad.map((reason) => [reason, errorTable[reason][0]]))
    expect(runState.options.filter(isEnd)).toHaveLength(6)
  })
})

describe('real answers', () => {
  let world: World
  beforeAll(async () => {
    world = await startWorld()
  })
  afterAll(() => world.close())

  /** The fields that an interface of the source names and does not mark as optional. */
  function fieldsOf(name: string, file = 'types'): string[] {
    const [, parent, body = ''] =
      new RegExp(`export interface ${name}(?: extends (?:\\w+<[^>]*>|(\\w+)))? \\{\\n([\\s\\S]*?)\\n\\}`).exec(
        read(`lib/client/src/${file}.ts`),
      ) ?? []
    const own = [...body.matchAll(/^ {2}(\w+):/gm)].map(([, field = '']) => field)
    return parent === undefined ? own : [...fieldsOf(parent, parent === 'ToolCallRecord' ? 'events' : file), ...own]
  }
  const expectFields = (name: string, value: object, file?: string): void => {
    const fields = fieldsOf(name, file)
    expect(fields.length, name).toBeGreaterThan(2)
    expect(Object.keys(value), name).toEqual(expect.arrayContaining(fields))
  }
  const first = async <Item extends object>(list: AsyncIterable<Item>): Promise<Item> => {
    for await (const item of list) return item
    throw new Error('the list is empty')
  }

  test('have every field that the types promise', async () => {
    const baton = createBaton({ url: world.base() })
    await baton.agents.create({ id: 'typed', template: 'scripted', overrides: { permission: { ask: ['charge'] } } })
    const charge = { tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }], usage: { input: 100, output: 10 } }
    const paused = await baton.agents.send('typed', script({ text: 'I ask', ...charge }, { text: 'ok', usage: { input: 100, output: 10 } }))
    if (paused.status !== 'paused') throw new Error('not paused')
    expectFields('PendingApproval', paused.approvals[0] ?? {})
    expectFields('Approval', await baton.approvals.get(paused.approvals[0]?.id ?? ''))
    await baton.approvals.decide(paused.approvals[0]?.id ?? '', { decision: 'allow' })
    expectFields('RunDetails', await baton.runs.wait(paused.runId, { untilEnded: true }))
    expectFields('AgentDetails', await baton.agents.get('typed'))
    expectFields('Run', await first(baton.runs.list()))
    expectFields('Agent', await first(baton.agents.list({ prefix: 'ty' })))
    expectFields('Message', await first(baton.agents.messages('typed')))
    expectFields('ToolCall', await first(baton.agents.toolCalls('typed')))
    expectFields('Budget', await baton.budgets.get('tenant'))
    expectFields('BudgetOfScope', await baton.budgets.set('agent:typed', { limitMicros: 1_000_000 }))
    expectFields('Budget', await first(baton.budgets.list()))
    expectFields('UsageRow', await first(baton.usage({ groupBy: 'model' })))
    await baton.budgets.delete('agent:typed')
    const outside = await baton.agents.send('outside', script({ tools: [{ name: 'outside', input: {} }] }), { template: 'scripted' })
    if (outside.status !== 'paused') throw new Error('not paused')
    expectFields('ExternalCall', outside.externalCalls[0] ?? {})
    const names: Partial<Record<BatonEvent['type'], string>> = {
      text_start: 'TextStart',
      text_delta: 'TextDelta',
      text_end: 'TextEnd',
      tool_start: 'ToolStart',
      tool_end: 'ToolEnd',
      done: 'Done',
      state_changed: 'StateChanged',
      approval_required: 'ApprovalRequired',
      approval_decided: 'ApprovalDecided',
    }
    const seen = new Set<string>()
    for await (const event of baton.runs.events(outside.runId)) {
      if (event.type !== 'state_changed' || event.state !== 'paused') continue
      expect(event).toMatchObject({ waitKind: 'external' })
      break
    }
    for await (const event of baton.runs.events(paused.runId)) {
      const name = names[event.type]
      if (name === undefined) continue
      seen.add(name)
      const fields = fieldsOf(name, 'events')
      expect(Object.keys(event), name).toEqual(expect.arrayContaining(fields))
    }
    expect([...seen].toSorted()).toEqual(Object.values(names).toSorted())
  })
})
