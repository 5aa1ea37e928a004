import type { ModelMessage } from 'ai'
import { afterAll, beforeAll } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { ProviderError } from '#lib/core/errors'
import type { Log, ModelAnswer, ModelDelta, ModelPort, ModelRequest } from '#lib/core/ports'
import { createModels } from '#lib/models/create-models'
import { providers } from '#lib/providers'
import { fake } from '#tests/fake-provider/script'
import type { FakeProvider } from '#tests/fake-provider/server'
import { startFakeProvider } from '#tests/fake-provider/server'

/** A log that keeps nothing. */
export const silent: Log = { info() {}, warn() {}, error() {} }

const weather = defineTool({
  name: 'weather',
  description: 'Weather of a city',
  input: z.object({ city: z.string(), days: z.coerce.number().default(1) }),
  effect: 'pure',
  run: () => 'sunny',
})

/** A request with one tool, `weather {city, days?}`. */
export function requestFor(model: string, messages: ModelMessage[], change: Partial<ModelRequest> = {}): ModelRequest {
  return {
    definition: defineAgent({ id: 'test', model, instructions: 'Be brief.', tools: [weather] }),
    model,
    agentUid: '00000000-0000-7000-8000-000000000000',
    agentName: 'a',
    runId: 'run_1',
    step: 0,
    modelCall: 0,
    attempt: 0,
    instructions: 'Be brief.',
    messages,
    opening: messages[0] ?? null,
    tools: [weather],
    maxOutputTokens: 500,
    timeouts: { firstChunkMs: 60_000, chunkMs: 60_000 },
    ...change,
  }
}

type Script = Parameters<typeof fake>[0]

/** The providers of lib/providers.ts, all pointed at one fake provider. */
export interface ProviderWorld {
  models(): ModelPort
  /** The last request that the fake provider was sent. */
  lastRequest(): FakeProvider['requests'][number] | undefined
  play(
    model: string,
    script: Script,
    change?: Partial<ModelRequest>,
    signal?: AbortSignal,
  ): Promise<{ answer: ModelAnswer; deltas: ModelDelta[] }>
  /** Plays a script that must end in a ProviderError, and gives that back. */
  failure(model: string, script: Script, change?: Partial<ModelRequest>): Promise<ProviderError>
}

/** Starts the fake provider for the tests of a file. */
export function providerWorld(): ProviderWorld {
  let provider: FakeProvider | undefined
  const keys = new Map<string, string>()
  beforeAll(async () => {
    provider = await startFakeProvider()
    for (const entry of Object.values(providers)) {
      keys.set(entry.keyVariable, 'key')
      if (entry.baseUrlVariable !== undefined) keys.set(entry.baseUrlVariable, provider.baseUrl)
    }
  })
  afterAll(() => provider?.close())
  const world: ProviderWorld = {
    models: () => createModels({ providers, env: (name) => keys.get(name), log: silent }),
    lastRequest: () => provider?.requests.at(-1),
    async play(model, script, change, signal = new AbortController().signal) {
      const deltas: ModelDelta[] = []
      const request = requestFor(model, [{ role: 'user', content: fake(script) }], change)
      const answer = await world.models().call(request, (delta) => deltas.push(delta), signal)
      return { answer, deltas }
    },
    async failure(model, script, change) {
      const error = await world.play(model, script, change).then(
        () => null,
        (thrown: unknown) => thrown,
      )
      if (!(error instanceof ProviderError)) throw new Error(`expected a ProviderError, got ${String(error)}`)
      return error
    },
  }
  return world
}

/** An error document of OpenAI and those that imitate it. */
export const openaiError = (type: string | null, code: string | null) => ({ error: { message: 'no', type, param: null, code } })
/** An error document of Anthropic. */
export const anthropicError = (type: string) => ({ type: 'error', error: { type, message: 'no' } })
