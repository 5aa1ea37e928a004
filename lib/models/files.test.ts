import type { ModelMessage } from 'ai'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fake } from '#tests/fake-provider/script'
import { providerWorld, requestFor } from '#tests/fake-provider/world'

const world = providerWorld()
const address = 'https://files.example.com/a?signed=secret'
/** What this process has asked of the host of the file. */
const asked: string[] = []

beforeEach(() => {
  asked.length = 0
  const real = globalThis.fetch
  vi.spyOn(globalThis, 'fetch').mockImplementation((input, init) => {
    const url = input instanceof Request ? input.url : String(input)
    if (!url.startsWith('https://files.example.com/')) return real(input, init)
    asked.push(url)
    return Promise.resolve(new Response('a file', { headers: { 'content-type': 'image/png' } }))
  })
})
afterEach(() => void vi.restoreAllMocks())

const call = (model: string, messages: ModelMessage[]) =>
  world.models().call(requestFor(model, messages), () => {}, new AbortController().signal)
const withFile = (mediaType: string): ModelMessage[] => [
  { role: 'user', content: [{ type: 'file', data: address, mediaType }] },
  { role: 'user', content: fake({ text: 'seen' }) },
]

test('a file that a provider does not fetch itself is not fetched for it: the call is refused, and nobody asked', async () => {
  const before = world.lastRequest()
  const kinds = { 'compatible/llama': 'application/pdf', 'anthropic/claude-haiku-5-5': 'text/plain' }
  for (const [model, mediaType] of Object.entries(kinds)) {
    // A status that makes the call free, and no 400, which may mean that the prompt is too long.
    await expect(call(model, withFile(mediaType))).rejects.toMatchObject({
      code: 'bad_request',
      status: 422,
      message: expect.stringMatching(/\(files\.example\.com\): send it as a data URL/),
    })
  }
  expect(asked).toEqual([])
  expect(world.lastRequest()).toBe(before)
})

test.each(['anthropic/claude-haiku-5-5', 'openai/gpt-5.4-mini', 'gateway/anthropic/claude-sonnet-5.5', 'compatible/llama'])(
  '%s is told where a picture lies',
  async (model) => {
    const [file, script] = withFile('image/png')
    const picture: ModelMessage = { role: 'user', content: [{ type: 'image', image: address }] }
    const messages = [file, picture, script].filter((message) => message !== undefined)
    expect(await call(model, messages)).toMatchObject({ text: 'seen' })
    expect(JSON.stringify(world.lastRequest()?.body).split(address)).toHaveLength(3)
    expect(asked).toEqual([])
  },
)

test('a file that a model has made is left where it lies', async () => {
  const messages: ModelMessage[] = [{ role: 'user', content: fake({ text: 'drawn', madeFile: address }) }]
  expect(await call('gateway/anthropic/claude-sonnet-5.5', messages)).toMatchObject({ text: 'drawn', content: [{ type: 'text' }] })
  expect(asked).toEqual([])
})
