import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineAgent, type AgentDefinition } from '#lib/core/define'
import type { ScriptedAnswer } from '#lib/testing/scripted-answers'
import { startExecutor, type Executor } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/* A message that is steered into a run while the commit of its answer is on its way. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const steers: AgentDefinition = defineAgent({ id: 'steers', model: 'test/model', instructions: 'Answer.', onBusy: 'steer' })

/** An executor whose first commit comes behind another message to the agent. */
function overtaken(agent: string, change: Partial<AgentDefinition>, first: Partial<ScriptedAnswer> = {}): Executor {
  let steered = false
  const executor = startExecutor(kit, defineAgent({ ...steers, ...change }), [{ text: 'first', ...first }, { text: 'second' }], {
    store: {
      async commit(request) {
        if (!steered) await expect(executor.send(agent)).rejects.toThrow('the agent was busy')
        steered = true
        return kit.store.commit(request)
      },
    },
  })
  return executor
}
const outputsOf = async (agent: string) =>
  (
    await kit.sql(`select r.output from baton.runs r join baton.agents a using (agent_uid) where a.id = $1 order by r.created_at`, [agent])
  ).map(({ output }) => output)

test.each<[string, Partial<AgentDefinition>, Partial<ScriptedAnswer>]>([
  ['steps', { limits: { maxSteps: 1 } }, {}],
  ['tokens', { limits: { maxTokens: 1 } }, {}],
  ['steps, cut short,', { limits: { maxSteps: 1 } }, { finish: 'length' }],
])('steered into the answer of a run without %s left it becomes the next run, and the answer stands', async (what, change, first) => {
  const agent = `without-${what.replaceAll(/[, ]/g, '')}`
  const executor = overtaken(agent, change, first)
  expect(await executor.send(agent)).toMatchObject({ kind: 'ended', state: 'completed', output: 'first' })
  const { agentUid } = ok(await kit.store.getAgent(authority, agent)).agent
  expect(await executor.goOn(agentUid)).toMatchObject({ kind: 'ended', state: 'completed', output: 'second' })
  expect(await outputsOf(agent)).toEqual(['first', 'second'])
})

test('steered into the answer of a run that may go on it is answered by that run', async () => {
  expect(await overtaken('goes-on', {}).send('goes-on')).toMatchObject({ kind: 'ended', state: 'completed', output: 'second' })
  expect(await outputsOf('goes-on')).toEqual(['second'])
})
