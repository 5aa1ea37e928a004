import { expect, test } from 'vitest'
import { defineAgent } from '#lib/core/define'
import { checkModels } from '#scripts/doctor/models'

const template = defineAgent({
  id: 'played',
  model: 'local/scripted',
  fallback: ['anthropic/claude-haiku-5-5'],
  models: ['openai/no-such-model', 'nobody/x'],
  instructions: '',
})
const said = async (local: boolean): Promise<string[]> =>
  (await checkModels({}, local, [], [template])).map(({ level, says }) => `${level} ${says}`)

test('the scripted model of the local stack is well there and nowhere else', async () => {
  expect((await said(true)).filter((line) => line.includes('local/scripted'))).toEqual([
    'ok played: local/scripted is the scripted model of the local stack',
  ])
  expect((await said(false)).filter((line) => line.includes('local/scripted'))).toEqual([
    'fail played: no provider is registered for local/scripted',
    'fail played: local/scripted has no price, its calls are refused (price_unknown)',
  ])
})

test('fallbacks are looked at, and the models that an override may name', async () => {
  expect((await said(false)).filter((line) => !line.includes('local/'))).toEqual([
    'fail played: anthropic/claude-haiku-5-5 has no key',
    'fail played: openai/no-such-model has no key',
    'fail played: openai/no-such-model has no price, its calls are refused (price_unknown)',
    'fail played: no provider is registered for nobody/x',
    'fail played: nobody/x has no price, its calls are refused (price_unknown)',
  ])
})
