import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import type { AgentUIMessage } from '#lib/core/ui'

const refund = defineTool({
  name: 'refund',
  description: 'Pays back',
  input: z.object({ cents: z.int() }),
  effect: 'once',
  run: ({ cents }) => ({ paid: cents }),
})
const lookUp = defineTool({
  name: 'look_up',
  description: 'Finds',
  input: z.object({ id: z.string() }),
  effect: 'pure',
  run: async () => 'found',
})
const support = defineAgent({ id: 'support', model: 'local/test', instructions: 'Help.', tools: [refund, lookUp] })

test('the tool parts of a template have its names, inputs and outputs (checked by tsc)', () => {
  type Part = AgentUIMessage<typeof support>['parts'][number]
  type Refund = Extract<Part, { type: 'tool-refund'; state: 'output-available' }>
  type LookUp = Extract<Part, { type: 'tool-look_up'; state: 'output-available' }>
  expectTypeOf<Refund['input']>().toEqualTypeOf<{ cents: number }>()
  expectTypeOf<Refund['output']>().toEqualTypeOf<{ paid: number }>()
  expectTypeOf<LookUp['output']>().toEqualTypeOf<string>()
  expectTypeOf<Extract<Part, { type: 'tool-other' }>>().toEqualTypeOf<never>()
})
