import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'
import { axe, chromiumPath, look, openBrowser } from './console-kit.ts'

/** Script that a page of the console may load, compressed, before anybody has pressed anything. */
const mostScript = 200 * 1_024

let world: World
let browser: Browser
let webhook = ''
beforeAll(async () => {
  if (chromiumPath === null) return
  world = await startWorld()
  browser = await openBrowser()
  const made = await world.http('POST', '/api/webhooks', { url: 'http://127.0.0.1:9/gone', description: 'Nobody listens' })
  webhook = String(made.body['id'])
  await world.http('POST', '/api/agents', { id: 'payer', template: 'scripted', permission: { ask: ['charge'] } })
  const step = {
    text: 'I look.',
    tools: [
      { name: 'echo', input: { value: 'a'.repeat(300) } },
      { name: 'fail', input: { message: 'no' } },
    ],
  }
  await world.send(
    'a-name-as-long-as-names-may-be-and-longer-than-a-phone-is-wide',
    script(step, { text: '# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```' }),
  )
  await world.send(
    'payer',
    script({ text: 'May I?', tools: [{ name: 'charge', input: { key: 'k', cents: 1 } }], usage: { input: 9_000, output: 9_000 } }),
  )
  await world.http('PUT', '/api/budgets/agent:payer', { limitMicros: 200_000, period: 'day' })
  await world.http('POST', '/api/kill', { scope: 'agent:held', mode: 'hold', reason: 'a reason' })
  await world.http('POST', '/api/kill', { scope: 'agent:gone', mode: 'kill', reason: 'another' })
  await world.http('POST', '/api/keys', { name: 'a key', scopes: ['agents:read', 'agents:run'] })
  await world.http('POST', `/api/webhooks/${webhook}/test`)
})
afterAll(async () => {
  await browser?.close()
  await world?.close()
})

const pages: [name: string, path: () => string, ready: string][] = [
  ['agents', () => '/console', 'payer'],
  ['agent', () => '/console/agents/a-name-as-long-as-names-may-be-and-longer-than-a-phone-is-wide', 'Executor 1 began'],
  ['paused agent', () => '/console/agents/payer', 'Nothing runs and nothing is spent'],
  ['missing agent', () => '/console/agents/nobody', 'agent_not_found'],
  ['approvals', () => '/console/approvals', 'Edit input'],
  ['budgets', () => '/console/budgets', 'agent:payer'],
  ['kill', () => '/console/kill', 'agent:held'],
  ['webhooks', () => '/console/webhooks', 'Nobody listens'],
  ['webhook', () => `/console/webhooks/${webhook}`, 'webhook.test'],
  ['usage', () => '/console/usage', 'As a table'],
  ['audit', () => '/console/audit', 'message.accept'],
  ['keys', () => '/console/keys', 'a key'],
]

describe.skipIf(chromiumPath === null)('how the console looks', () => {
  test.each(pages)('%s: axe finds nothing, in light and dark, and a phone need not scroll sideways', async (name, path, ready) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, complaints, close } = await look(browser, world.base(), { colorScheme, reducedMotion: 'reduce' })
      await page.goto(path())
      await page.getByText(ready).first().waitFor()
      expect(await axe(page)).toEqual([])
      await page.setViewportSize({ width: 390, height: 844 })
      if (await page.getByRole('button', { name: 'Runs', exact: true }).isVisible()) {
        expect(await sideways(page)).toBe(0)
        await page.getByRole('button', { name: 'Runs', exact: true }).click()
      }
      expect(await sideways(page)).toBe(0)
      if (name === 'agent') expect(await axe(page)).toEqual([])
      expect(complaints).toEqual([])
      await close()
    }
  })

  test('dialogs hold the focus, are closed by Escape, and give the focus back', async () => {
    const { page, close } = await look(browser, world.base(), { reducedMotion: 'reduce' })
    await page.goto('/console')
    await page.getByRole('button', { name: 'Start a run' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    expect(await axe(page)).toEqual([])
    for (let n = 0; n < 20; n++) {
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement?.closest("[role=dialog]") !== null')).toBe(true)
    }
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(await page.evaluate('document.activeElement?.textContent')).toBe('Start a run')
    await close()
  })

  test('the theme is what the system says until somebody chooses, and stays chosen', async () => {
    const { page, close } = await look(browser, world.base(), { colorScheme: 'light' })
    const ground = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    await page.goto('/console')
    await page.getByRole('button', { name: 'Dark' }).waitFor()
    const light = await ground()
    await page.getByRole('button', { name: 'Dark' }).click()
    const dark = await ground()
    expect(dark).not.toBe(light)
    await page.reload()
    expect(await ground()).toBe(dark)
    await page.getByRole('button', { name: 'Auto' }).click()
    expect(await ground()).toBe(light)
    await close()
  })

  test.each(pages)('%s loads less than 200 KB of script', async (name, path, ready) => {
    const { page, close } = await look(browser, world.base())
    // What is loaded when the page has nothing else to do keeps nobody waiting, and is not counted.
    await page.addInitScript('window.requestIdleCallback = () => 0')
    const sizes: Promise<number>[] = []
    page.on('response', (response) => {
      if (response.request().resourceType() === 'script') sizes.push(response.body().then((body) => gzipSync(body).byteLength))
    })
    await page.goto(path())
    await page.getByText(ready).first().waitFor()
    const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
    console.log(`${name}: ${(bytes / 1_024).toFixed(0)} KB of script, compressed`)
    expect(bytes).toBeGreaterThan(0)
    expect(bytes).toBeLessThan(mostScript)
    await close()
  })
})

function sideways(page: { evaluate: (text: string) => Promise<unknown> }): Promise<unknown> {
  return page.evaluate('Math.max(0, document.documentElement.scrollWidth - innerWidth)')
}
