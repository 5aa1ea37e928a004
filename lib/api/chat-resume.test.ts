import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { resumeChat } from '#lib/api/chat-resume'
import { defineAgent } from '#lib/core/define'
import { defineHook } from '#lib/core/hooks'
import { testServices } from '#lib/http/services.fixture'
import { deployTemplates } from '#lib/engine/templates'

/** Three steps of a run, as they are stored: of each a text and its end. */
const events = [1, 2, 3].flatMap((step) => [
  { seq: 2 * step - 1, type: 'text_end', step, data: { text: 'sixteen letters.' } },
  { seq: 2 * step, type: 'step_complete', step, data: { kind: 'model' } },
])

/** What a client is answered that has had so many chunks of this run. */
async function resumed(template: string, startIndex: number): Promise<number> {
  const rewrites = defineHook({ name: 'rewrites', postModel: () => undefined })
  const base = { model: 'test/model', instructions: '' }
  const definitions = [defineAgent({ ...base, id: 'plain' }), defineAgent({ ...base, id: 'rewritten', hooks: [rewrites] })]
  const run = { id: 'run_1', agentUid: 'uid', state: 'running', wait: null, template, firstSeq: 1, lastSeq: 6 }
  const data = events.map((event) => ({ ...event, at: 'now', channel: 'progress', runId: 'run_1' }))
  const parts = {
    // Nothing happens in this run until the reader leaves.
    clock: {
      ...testServices().clock,
      sleep: (_ms: number, signal?: AbortSignal) => new Promise<void>((done) => signal?.addEventListener('abort', () => done())),
    },
    templates: deployTemplates(definitions, () => null),
    store: {
      getRun: () => Promise.resolve({ ok: true, run }),
      listEvents: () => Promise.resolve({ ok: true, data, more: false, lastSeq: 6 }),
    },
    live: { watch: () => () => undefined },
  }
  const answer = await ask(resumeChat, `/api/chat/run_1/stream?startIndex=${startIndex}`, parts)
  await answer.body?.cancel()
  return answer.status
}

test('a count of chunks is no place in a run whose texts a hook may have replaced after they were shown', async () => {
  expect([await resumed('plain', 9), await resumed('rewritten', 9)]).toEqual([200, 410])
})
