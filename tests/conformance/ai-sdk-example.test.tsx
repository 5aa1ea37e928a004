import { JSDOM } from 'jsdom'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { poll } from '#local/poll'
import { localTemplates } from '#local/scripted/extra'
import { signUp, startGuarded, type SignedUp } from '#tests/access/kit'
import { stored } from './ai-sdk-kit.ts'
import { script, type World } from '#tests/world'

const templates = localTemplates({
  templates: [{ id: 'assistant', model: 'local/scripted', permission: { ask: ['charge'] }, public: true, approvers: ['owner'] }],
})

let world: World
let alice: SignedUp
let page: JSDOM
beforeAll(async () => {
  world = await startGuarded({ env: { ...templates, BATON_SWEEP_EVERY: '1s', BATON_LEASE_MS: '3000' } })
  vi.stubEnv('NEXT_PUBLIC_BATON_TEMPLATE', 'assistant')
  alice = await signUp(world, 'alice@example.com')
  // React looks for a browser when it is loaded, so the page's globals come first.
  page = new JSDOM('<div id="root"></div>', { url: `${world.base()}/#chat-1` })
  const { window } = page
  window.sessionStorage.setItem('token', alice.token)
  for (const name of ['window', 'document', 'location', 'sessionStorage', 'HTMLElement'] as const) vi.stubGlobal(name, window[name])
  const real = fetch
  vi.stubGlobal('fetch', (input: string, init?: RequestInit) => real(new URL(input, world.base()), init))
})
// The globals stay: React still works off what is left when the page is gone.
afterAll(() => world.close())
vi.setConfig({ testTimeout: 90_000 })

const text = (selector: string): string => [...page.window.document.querySelectorAll(selector)].map((node) => node.textContent).join('|')
const shows = (selector: string, wanted: string | RegExp): Promise<boolean> =>
  poll(() => Promise.resolve(typeof wanted === 'string' ? text(selector) === wanted : wanted.test(text(selector))), {
    everyMs: 50,
    forMs: 30_000,
  })

async function mount(): Promise<{ unmount: () => void }> {
  const [{ createRoot }, { default: Page }] = await Promise.all([
    import('react-dom/client'),
    import('../../examples/next-chat/app/page.tsx'),
  ])
  const element = page.window.document.querySelector('#root')
  if (element === null) throw new Error('no root')
  const root = createRoot(element)
  root.render(<Page />)
  return root
}

async function open(): Promise<{ unmount: () => void }> {
  const root = await mount()
  expect(await shows('button', /Send/)).toBe(true)
  return root
}

async function say(words: string): Promise<void> {
  const { document, HTMLTextAreaElement, Event } = page.window
  const box = document.querySelector('textarea')
  if (box === null) throw new Error('no textarea')
  // As typing does: React looks at the setter of the prototype.
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value')?.set?.call(box, words)
  box.dispatchEvent(new Event('input', { bubbles: true }))
  await new Promise((resolve) => setTimeout(resolve, 0))
  press('Send')
}

function press(label: string): void {
  const button = [...page.window.document.querySelectorAll('button')].find((each) => each.textContent === label)
  if (button === undefined) throw new Error(`no button ${label}: ${text('main')}`)
  button.click()
}

test('what refuses the history is shown, and no empty chat', async () => {
  page.window.sessionStorage.setItem('token', 'of-nobody')
  const refused = await mount()
  expect(await shows('[role=alert]', /^401 \w+: ./), text('#root')).toBe(true)
  expect(text('button')).toBe('')
  refused.unmount()
  page.window.sessionStorage.setItem('token', alice.token)
})

test('the page: a message, a question to the person, a reload in mid-answer, a killed server', async () => {
  const first = await open()
  await say(script({ text: 'May I?', tools: [{ name: 'charge', input: { key: 'page', cents: 5 } }] }, { text: 'Thank you.' }))
  expect(await shows('[data-role=assistant]', /^May I\?charge \(approval-requested\)/), text('main')).toBe(true)
  press('Allow')
  expect(await shows('[data-role=assistant]', 'May I?charge (output-available)Thank you.'), text('main')).toBe(true)

  const slow = 'a long answer that is read while the page is loaded again'
  await say(script({ text: slow, chunks: 30, chunkDelayMs: 100 }))
  expect(await shows('[data-role=assistant]', /\|a long/), text('main')).toBe(true)
  first.unmount()
  const second = await open()
  expect(await shows('[data-role=assistant]', `May I?charge (output-available)Thank you.|${slow}`), text('main')).toBe(true)

  const killed = 'an answer in the middle of which the server dies'
  await say(script({ text: killed, chunks: 30, chunkDelayMs: 80 }))
  expect(await shows('[data-role=assistant]', /\|an answer/), text('main')).toBe(true)
  await world.stack.kill('server-0', 'SIGKILL')
  await world.stack.waitReady()
  await poll(
    () => {
      if (text('[role=alert]') !== '') press('Go on')
      return Promise.resolve(text('[data-role=assistant]').endsWith(killed) && text('[role=alert]') === '')
    },
    { everyMs: 500, forMs: 30_000 },
  )
  expect(text('[data-role=assistant]')).toBe(`May I?charge (output-available)Thank you.|${slow}|${killed}`)
  expect(await stored(world, 'chat-1')).toEqual(['May I?Thank you.', slow, killed])
  second.unmount()
})
