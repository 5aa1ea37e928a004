import type { Browser, Page } from 'playwright-core'
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

/** An agent of whose 120 messages the page shows the last 100. */
async function longConversation(agent: string): Promise<void> {
  await world.send(agent, 'hello')
  await world.sql(`insert into baton.messages (agent_uid, seq, tenant_id, owner_id, role, content, bytes, est_tokens)
    select a.agent_uid, n, a.tenant_id, a.owner_id, case n % 2 when 0 then 'assistant' else 'user' end,
      to_json(repeat(E'A paragraph.\n\n', 5) || 'number ' || n), 80, 20
    from baton.agents a, generate_series(3, 120) n where a.id = '${agent}'`)
  await world.sql(`update baton.agents set last_message_seq = 120 where id = '${agent}'`)
}

/** How much of the conversation is below what is shown, in pixels. */
function restOf(page: Page): Promise<number> {
  return page.getByRole('log').evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight)
}

/** When the page has been drawn as it stands. */
async function drawn(page: Page): Promise<void> {
  await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
}

async function leaveAndReturn(page: Page, agent: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: 'Agents' }).click()
  await page.getByRole('link', { name: agent, exact: true }).click()
  await page.getByLabel('Message', { exact: true }).waitFor()
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

  test('the run that holds the agent is shown, also where a newer one went ahead of it or more wait than a page lists', async () => {
    const { page } = at
    const [first, ahead, waits] = [world.gate(), world.gate(), world.gate()]
    await sent('overtaken', script({ text: 'The first.', gate: first.file }))
    const older = await sent('overtaken', script({ text: 'It waited.', gate: waits.file }))
    const newer = await sent('overtaken', script({ text: 'It went ahead.', gate: ahead.file }), 'interrupt')
    const select = page.getByRole('region', { name: 'Runs' }).getByRole('combobox')
    await page.goto('/console/agents/overtaken')
    await expect.poll(() => select.inputValue(), { timeout: 15_000 }).toBe(newer)
    await ahead.open()
    await expect.poll(() => select.inputValue(), { timeout: 15_000 }).toBe(older)
    for (let n = 0; n < 20; n++) await sent('overtaken', `queued ${n}`)
    await page.reload()
    await expect.poll(() => select.inputValue(), { timeout: 15_000 }).toBe(older)
    await select.locator('option').nth(20).waitFor({ state: 'attached' })
    await page.getByRole('button', { name: 'Older runs' }).click()
    await expect.poll(() => select.locator('option').count(), { timeout: 15_000 }).toBe(23)
    await waits.open()
    await page.getByText('You said: queued 19').waitFor()
  })

  test('a long conversation opens at its end and follows it; who has gone up to read is left there until they send', async () => {
    const { page } = at
    const rest = (): Promise<number> => restOf(page)
    await longConversation('long')
    await page.goto('/console/agents/long')
    await page.locator('.bubble', { hasText: 'number 120' }).locator('p', { hasText: 'paragraph' }).first().waitFor()
    await expect.poll(rest, { timeout: 15_000 }).toBeLessThan(5)
    expect(await page.getByRole('log').evaluate((box) => box.scrollTop)).toBeGreaterThan(5_000)
    const grow = script({ text: `${'Line.\n\n'.repeat(60)}The end.` })
    await world.send('long', grow)
    await page.getByText('The end.', { exact: true }).waitFor()
    await expect.poll(rest, { timeout: 15_000 }).toBeLessThan(5)

    await page.getByRole('log').hover()
    await page.mouse.wheel(0, -3_000)
    await expect.poll(rest, { timeout: 15_000 }).toBeGreaterThan(1_000)
    await world.send('long', script({ text: 'Below the reader.' }))
    await page.getByText('Below the reader.', { exact: true }).waitFor()
    expect(await rest()).toBeGreaterThan(1_000)
    await page.getByLabel('Message', { exact: true }).fill('Now I write.')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByText('You said: Now I write.').waitFor()
    await expect.poll(rest, { timeout: 15_000 }).toBeLessThan(5)
  })

  test('who opens a tool call at the end of a conversation stays where they read, and follows the end again when it is closed', async () => {
    const { page } = at
    const value = Array.from({ length: 40 }, (_, n) => `line ${n}`)
    await world.send(
      'opened',
      script({ text: 'Line.\n\n'.repeat(60), tools: [{ name: 'echo', input: { value } }] }, { text: 'Looked up.' }),
    )
    await page.goto('/console/agents/opened')
    await page.getByText('Looked up.', { exact: true }).waitFor()
    const summary = page.locator('details.tool summary')
    await page.locator('.bubble p', { hasText: 'Line.' }).first().waitFor()
    await expect.poll(() => restOf(page), { timeout: 15_000 }).toBeLessThan(5)
    const before = await summary.boundingBox()
    await summary.click()
    await page.getByText('Audit trail').waitFor()
    await drawn(page)
    expect((await summary.boundingBox())?.y).toBeCloseTo(before?.y ?? 0, 0)
    expect(await restOf(page)).toBeGreaterThan(50)
    await summary.click()
    await drawn(page)
    await world.send('opened', script({ text: `${'Line.\n\n'.repeat(60)}The end.` }))
    await page.getByText('The end.', { exact: true }).waitFor()
    await expect.poll(() => restOf(page), { timeout: 15_000 }).toBeLessThan(5)
  })

  test('earlier messages come above the one that is read, which stays where it is', async () => {
    const { page } = at
    const read = page.locator('.bubble', { hasText: /number 2[0-9]$/ }).first()
    await longConversation('earlier')
    await page.goto('/console/agents/earlier')
    await page.locator('.bubble', { hasText: 'number 120' }).locator('p', { hasText: 'paragraph' }).first().waitFor()
    await expect.poll(() => restOf(page), { timeout: 15_000 }).toBeLessThan(5)
    await page.getByRole('log').hover()
    await page.mouse.wheel(0, -100_000)
    await page.getByRole('button', { name: 'Earlier messages' }).click({ trial: true })
    await drawn(page)
    const text = (await read.textContent())?.slice(-9) ?? ''
    const same = page.locator('.bubble', { hasText: text })
    const before = await same.boundingBox()
    await page.getByRole('button', { name: 'Earlier messages' }).click()
    await page.locator('.bubble', { hasText: /number 3$/ }).waitFor({ state: 'attached' })
    await drawn(page)
    expect((await same.boundingBox())?.y).toBeCloseTo(before?.y ?? 0, 0)
  })

  test('older runs that were listed stay so and are read again, however many newer ones come', async () => {
    const { page } = at
    const gate = world.gate()
    const ids = [await sent('many', script({ text: 'The first.', gate: gate.file }))]
    const queue = async (): Promise<void> => {
      for (let n = 0; n < 24; n++) ids.push(await sent('many', `queued ${n}`))
    }
    const options = page.getByRole('region', { name: 'Runs' }).getByRole('combobox').locator('option')
    await queue()
    await page.goto('/console/agents/many')
    await page.getByRole('button', { name: 'Older runs' }).click()
    await expect.poll(() => options.count(), { timeout: 15_000 }).toBe(25)
    await queue()
    await world.http('POST', `/api/runs/${ids[12]}/cancel`, {})
    // The newest 40, and the one that holds the agent.
    await expect.poll(() => options.count(), { timeout: 20_000 }).toBe(41)
    await options.filter({ hasText: `${ids[12]?.slice(-6)} · cancelled` }).waitFor({ state: 'attached' })
    await page.getByRole('button', { name: 'Older runs' }).click()
    await expect.poll(() => options.count(), { timeout: 15_000 }).toBe(ids.length)
    await world.http('POST', '/api/kill', { scope: 'agent:many', mode: 'kill', reason: 'the rest is not needed' })
    await gate.open()
  })

  test('a message whose answer was lost is the same one after leaving the page: it runs once', async () => {
    const { page } = at
    const box = page.getByLabel('Message', { exact: true })
    await world.http('POST', '/api/agents', { id: 'lost', template: 'scripted' })
    await page.goto('/console/agents/lost')
    await page.route(
      /\/lost\/messages$/,
      async (route) => {
        await route.fetch()
        await route.abort()
      },
      { times: 1 },
    )
    await box.fill('Only once.')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByRole('alert').getByText('No answer').waitFor()
    await leaveAndReturn(page, 'lost')
    expect(await box.inputValue()).toBe('Only once.')
    await page.getByRole('button', { name: 'Send' }).click()
    await expect.poll(() => box.inputValue(), { timeout: 15_000 }).toBe('')
    expect((await world.http('GET', '/api/agents/lost/runs')).body['data']).toHaveLength(1)
  })

  test('who is back before the answer to a message sees it leave the box', async () => {
    const { page } = at
    const box = page.getByLabel('Message', { exact: true })
    const answer = Promise.withResolvers<void>()
    await world.http('POST', '/api/agents', { id: 'slow', template: 'scripted' })
    await page.goto('/console/agents/slow')
    await page.route(/\/slow\/messages$/, (route) => answer.promise.then(() => route.continue()), { times: 1 })
    await box.fill('On its way.')
    await page.getByRole('button', { name: 'Send' }).click()
    await leaveAndReturn(page, 'slow')
    expect(await box.inputValue()).toBe('On its way.')
    answer.resolve()
    await expect.poll(() => box.inputValue(), { timeout: 15_000 }).toBe('')
  })

  test('what could not be read once is asked for again, without a reload', async () => {
    const { page } = at
    await world.send('unlucky', script({ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'In the end.' }))
    const refused = new Set<string>()
    // The page of the test before would ask too.
    await page.goto('about:blank')
    await page.route(/\/(events|messages|tool-calls)\?/, async (route) => {
      const { pathname } = new URL(route.request().url())
      if (refused.has(pathname)) return route.continue()
      refused.add(pathname)
      await route.fulfill({ status: 503, json: { code: 'unavailable', detail: 'Not now.' } })
    })
    await page.goto('/console/agents/unlucky')
    await page.getByText('Not now.').first().waitFor()
    await page.getByText('Executor 1 began').waitFor()
    await page.locator('.bubble.assistant', { hasText: 'In the end.' }).waitFor()
    await page.locator('details.tool', { hasText: 'echo' }).getByText('completed').first().waitFor()
    await expect.poll(() => page.getByText('Not now.').count(), { timeout: 15_000 }).toBe(0)
    // The run's events, the messages, the calls; the stream as well, where it begins meanwhile.
    expect(refused.size).toBeGreaterThanOrEqual(3)
    await page.unroute(/\/(events|messages|tool-calls)\?/)
  })

  test('no page complained', () => expect(at.complaints).toEqual([]))

  test('without the network a switch can still be opened, and a page that cannot go on says so beside the way to the others', async () => {
    const { page, close } = await look(browser, world.base())
    await page.goto('/console/kill', { waitUntil: 'networkidle' })
    await page.route('**/_next/static/**', (route) => route.abort())
    await page.getByRole('button', { name: 'Kill or hold' }).click()
    await page.getByRole('dialog').getByLabel('Reason').waitFor()
    await page.unroute('**/_next/static/**')
    await page.goto('/console', { waitUntil: 'networkidle' })
    await page.route('**/_next/static/**', (route) => route.abort())
    await page.getByRole('button', { name: 'Start a run' }).click()
    await page.getByRole('alert').getByText('This page could not go on').waitFor()
    await page.getByRole('link', { name: 'Kill switch' }).waitFor()
    await page.unroute('**/_next/static/**')
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.getByRole('button', { name: 'Start a run' }).waitFor()
    await close()
  })
})
