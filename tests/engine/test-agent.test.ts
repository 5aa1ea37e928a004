import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineAgent } from '#lib/core/define'
import type { ProviderCode } from '#lib/core/errors'
import { testAgent } from '#lib/testing/test-agent'
import { localTemplates } from '#local/scripted/extra'
import { scriptedTools } from '#local/scripted/tools'
import { runOf } from '#tests/engine/helpers'
import { script, startWorld, type Answer, type World } from '#tests/world'

/** Without a key its model is the scripted one, so that the stack plays what testAgent plays. */
const parity = {
  id: 'parity',
  model: 'anthropic/claude-haiku-4-5',
  instructions: 'Play the script.',
  limits: { maxSteps: 3, maxToolCalls: 3 },
}

let world: World
beforeAll(async () => {
  world = await startWorld({ env: { ...localTemplates({ templates: [parity] }), ANTHROPIC_API_KEY: '' } })
})
afterAll(() => world.close())

/** The same text with our ids numbered in order of appearance. */
function numbered(value: unknown): unknown {
  const seen = new Map<string, string>()
  const text = JSON.stringify(value).replaceAll(/call_[0-9a-f]{32}/g, (id) => {
    if (!seen.has(id)) seen.set(id, `call ${seen.size}`)
    return seen.get(id) ?? id
  })
  return JSON.parse(text)
}

const echo = (value: number): NonNullable<Answer['tools']>[number] => ({ name: 'echo', input: { value } })
const codes: Record<number, ProviderCode> = { 401: 'provider_auth' }

test.each<[string, Answer[]]>([
  ['an answer', [{ text: 'hello' }]],
  ['tools, in call order', [{ text: 'wait', tools: [echo(1), { name: 'fail', input: { message: 'no' } }] }, { text: 'end' }]],
  ['bad arguments and an unknown tool', [{ tools: [{ name: 'echo' }, { name: 'nothing' }] }, { text: 'end' }]],
  ['a cut answer', [{ text: 'so far', finish: 'length' }]],
  ['empty answers', [{ text: '' }, { text: '' }]],
  ['too many steps', [1, 2, 3, 4].map((value) => ({ tools: [echo(value)] }))],
  ['too many calls', [{ tools: [echo(1), echo(2), echo(3), echo(4)] }]],
  ['a refused key', [{ tools: [echo(1)] }, { error: { status: 401 } }]],
])('testAgent says what the stack says: %s', async (name, answers) => {
  const message = script(...answers)
  const agent = name.replaceAll(/\W+/g, '-')
  const reply = await world.send(agent, message, { template: 'parity', prefer: 'wait=25' })
  const run = await world.run(runOf(reply))
  const rows = await world.messages(agent)
  const calls = (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as {
    name: string
    state: string
    output: unknown
  }[]

  const tested = await testAgent(defineAgent({ ...parity, tools: scriptedTools }), {
    message,
    script: answers.map(({ text, tools, finish, error }) => {
      const code = error === undefined ? undefined : codes[error.status]
      return { ...(text === undefined ? {} : { text }), ...(tools && { tools }), ...(finish && { finish }), ...(code && { error: code }) }
    }),
  })
  expect({ state: tested.state, stopReason: tested.stopReason, output: tested.output }).toEqual({
    state: run.state,
    stopReason: run.stopReason,
    output: run.output,
  })
  const said = numbered(tested.messages.map(({ role, content }) => ({ role, content })))
  const sealed = /This call was not executed[^"]*|not executed/g
  expect(JSON.parse(JSON.stringify(said).replaceAll(sealed, '-'))).toEqual(
    JSON.parse(JSON.stringify(numbered(rows.map(({ role, content }) => ({ role, content })))).replaceAll(sealed, '-')),
  )
  expect(tested.calls.map((call) => [call.name, call.state])).toEqual(calls.map((call) => [call.name, call.state]))
})
