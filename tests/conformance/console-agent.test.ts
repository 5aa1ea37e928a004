import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'
import { chromiumPath, look, openBrowser, type Look } from './console-kit.ts'

let world: World
let browser: Browser
let at: Look
beforeAll(async () => {
  if (chromiumPath === null) return
  world = await startWorld()
  browser = await openBrowser()
  at = await look(browser, world.base())
})
afterAll(async () => {
  await browser?.close()
  await world?.close()
})

/** Sends a message that nobody waits for, and names its run. */
async function sent(agent: string, message: string, onBusy?: string): Promise<string> {
  const reply = await world.send(agent, message, { prefer: 'respond-async', ...(onBusy === undefined ? {} : { onBusy }) })
  expect(reply.status).toBe(202)
  return String(reply.body['runId'])
}

describe.skipIf(chromiumPath === null)('the page of an agent', () => {
  test.each([
    ['Interrupt', 'Interrupt the run'],
    ['Cancel run', 'Cancel the run'],
  ])(
    '"%s" asks about the run that is looked at: with its end the question goes, and the next run is not stopped',
    async (button, title) => {
      const { page } = at
      const agent = `asked-${button.split(' ')[0]?.toLowerCase()}`
      const [first, second] = [world.gate(), world.gate()]
      const one = await sent(agent, script({ text: 'The first.', gate: first.file }))
      const two = await sent(agent, script({ text: 'The second.', gate: second.file }))
      await page.goto(`/console/agents/${agent}`)
      await page.getByRole('button', { name: button }).click()
      const dialog = page.getByRole('dialog', { name: title })
      await dialog.waitFor()
      await first.open()
      await world.ended(one)
      await dialog.waitFor({ state: 'detached' })
      await page.getByRole('button', { name: button }).click()
      const asked = page.waitForRequest((request) => request.method() === 'POST' && /\/(interrupt|cancel)$/.test(request.url()))
      await dialog.getByRole('button', { name: button === 'Interrupt' ? button : title }).click()
      const request = await asked
      expect(`${request.url()} ${request.postData() ?? ''}`).toContain(two)
      await second.open()
      expect((await world.ended(two)).state).toBe('cancelled')
    },
  )

  test('no page complained', () => expect(at.complaints).toEqual([]))
})
