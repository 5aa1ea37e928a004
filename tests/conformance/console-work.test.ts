import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startReceiver, type Receiver } from '#tests/webhooks/receiver'
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

describe.skipIf(chromiumPath === null)('working in the console', () => {
  test('a run is started, watched over a hand-off, and ends; what is shown is what is stored', async () => {
    const { page } = at
    const gate = world.gate()
    const answer = 'Order **1042** is on its way and arrives tomorrow.'
    await page.goto('/console')
    await page.getByRole('button', { name: 'Start a run' }).click()
    const dialog = page.getByRole('dialog', { name: 'Start a run' })
    await dialog.getByLabel('Template').selectOption('scripted')
    await dialog.getByLabel('Agent id').fill('watched')
    const step = { text: 'I look it up.', tools: [{ name: 'wait', input: { ms: 700 } }], usage: { input: 1_000, output: 100 } }
    await dialog
      .getByLabel('Message')
      .fill(script(step, { text: answer, chunks: 30, chunkDelayMs: 60, gate: gate.file, usage: { input: 1_000, output: 100 } }))
    await dialog.getByText('More', { exact: true }).click()
    await dialog.getByLabel('Slice, in milliseconds').fill('400')
    await dialog.getByRole('button', { name: 'Start' }).click()

    await page.getByRole('heading', { name: 'watched' }).waitFor()
    await page.getByText('writing…').waitFor()
    await gate.open()
    await page.getByText('Executor 2 took over').waitFor()
    await page.getByText('Ended completed (end turn)').waitFor()
    expect(await page.getByText('Handed on by executor 1').count()).toBe(1)
    await page.locator('.bubble.assistant').getByText('is on its way and arrives tomorrow.').waitFor()
    expect(await page.getByRole('log').locator('strong', { hasText: '1042' }).count()).toBe(1)
    const [run] = (await world.http('GET', '/api/agents/watched/runs')).body['data'] as { output: string; slices: number }[]
    expect(run).toMatchObject({ output: answer, slices: 2 })
    expect(await page.getByRole('img', { name: /^2 executors, 2 model calls, 1 tool calls$/ }).count()).toBe(1)

    await page.locator('details.tool', { hasText: 'wait' }).locator('summary').click()
    await page.getByText('Audit trail').waitFor()
    expect(await page.locator('.trail').textContent()).toMatch(/pending.*executing.*completed/)
  })

  test('what a model or a user wrote is text: no element and no address of it comes alive', async () => {
    const { page, complaints } = at
    const evil =
      '<img src=x onerror="document.title=1"> [click](javascript:alert(1)) ![p](https://example.invalid/p.png) <script>alert(1)</script>'
    await world.send('evil', script({ text: evil }))
    await page.goto('/console/agents/evil')
    await page.locator('.bubble.assistant').getByText('onerror').waitFor()
    expect(await page.locator('.bubble img, .bubble script, .bubble a[href^="javascript"]').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  test('a message is sent from the page and interrupted', async () => {
    const { page } = at
    await page.goto('/console/agents/watched')
    await page.getByLabel('Message', { exact: true }).fill(script({ text: 'slow', delayMs: 20_000 }))
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByRole('button', { name: 'Interrupt' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Interrupt' }).click()
    await page.getByText('Ended cancelled (interrupted)').waitFor()
    await page.getByRole('button', { name: 'Retry' }).waitFor()
  })

  test('messages that wait for their turn hold no connection: a browser has six, and the run in hand is interrupted still', async () => {
    const { page } = at
    const gate = world.gate()
    await world.http('POST', '/api/agents', { id: 'crowded', template: 'scripted' })
    await page.goto('/console/agents/crowded')
    await world.send('crowded', script({ text: 'slow', gate: gate.file }), { prefer: 'respond-async' })
    await page.getByRole('button', { name: 'Interrupt' }).waitFor()
    const box = page.getByLabel('Message', { exact: true })
    for (let n = 1; n <= 7; n++) {
      await box.fill(`queued ${n}`)
      await box.press('Enter')
      await expect.poll(() => box.inputValue(), { timeout: 15_000 }).toBe('')
    }
    await page.getByRole('button', { name: 'Interrupt' }).click()
    const answer = page.waitForResponse(/\/interrupt$/)
    await page.getByRole('dialog').getByRole('button', { name: 'Interrupt' }).click()
    expect((await answer).ok()).toBe(true)
    await gate.open()
    await page.getByText('You said: queued 7').waitFor()
  })

  test('an answer is shown below a long conversation that was read to its beginning', async () => {
    const { page } = at
    await world.send('long', script({ text: 'The first answer.' }))
    await world.sql(`insert into baton.messages (agent_uid, seq, tenant_id, owner_id, role, content, bytes, est_tokens)
      select a.agent_uid, n, a.tenant_id, a.owner_id, case n % 2 when 0 then 'assistant' else 'user' end, to_json('number ' || n), 12, 4
      from baton.agents a, generate_series(3, 200) n where a.id = 'long'`)
    await world.sql(`update baton.agents set last_message_seq = 200 where id = 'long'`)
    await page.goto('/console/agents/long')
    await page.getByText('number 200', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Earlier messages' }).click()
    await page.getByText('The first answer.', { exact: true }).waitFor()
    await page.getByLabel('Message', { exact: true }).fill(script({ text: 'The last answer.' }))
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('.bubble.assistant:not([aria-busy])', { hasText: 'The last answer.' }).waitFor()
    expect(await page.locator('.bubble').count()).toBe(202)
  })

  test('a tool call is allowed with edited input, and runs with it', async () => {
    const { page } = at
    await world.http('POST', '/api/agents', { id: 'payer', template: 'scripted', permission: { ask: ['charge'] } })
    await world.send('payer', script({ tools: [{ name: 'charge', input: { key: 'edited', cents: 500 } }] }, { text: 'Paid.' }))
    await page.goto('/console/approvals')
    const card = page.getByRole('article', { name: 'charge' })
    await card.getByRole('button', { name: 'Edit input' }).click()
    await card.getByLabel('Input, as JSON').fill('{"key": "edited", "cents":')
    expect(await card.getByRole('button', { name: 'Allow' }).isDisabled()).toBe(true)
    await card.getByLabel('Input, as JSON').fill('{"key": "edited", "cents": "many"}')
    await card.getByRole('button', { name: 'Allow as edited' }).click()
    await card.getByText('The input does not fit the tool').waitFor()
    await card.getByLabel('Input, as JSON').fill('{"key": "edited", "cents": 250}')
    await card.getByLabel('Note').fill('half of it')
    await card.getByRole('button', { name: 'Allow as edited' }).click()
    await page.getByText('Nothing to decide').waitFor()
    await page.goto('/console/agents/payer')
    await page.getByText('Ended completed (end turn)').waitFor()
    const calls = (await world.http('GET', '/api/agents/payer/tool-calls')).body['data'] as { input: object; output: { value: object } }[]
    expect(calls[0]).toMatchObject({ input: { key: 'edited', cents: 250 }, output: { value: { charged: 250 } } })
  })

  test('an agent is killed with a reason, refuses messages, and takes them again when the switch is lifted', async () => {
    const { page } = at
    await world.send('runaway', script({ tools: [{ name: 'wait', input: { ms: 60_000 } }] }), { prefer: 'respond-async' })
    await page.goto('/console/agents/runaway')
    await page.getByRole('button', { name: 'Kill or hold' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('radio', { name: /Kill/ }).check()
    await dialog.getByLabel('Reason').fill('it runs away')
    await dialog.getByRole('button', { name: 'Set the switch' }).click()
    await page.getByText('Ended killed (killed)').waitFor()
    await page.getByLabel('Message', { exact: true }).fill('again')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByRole('alert').getByText('killed', { exact: true }).waitFor()

    await page.getByRole('link', { name: 'Kill switch' }).click()
    const row = page.getByRole('row', { name: /agent:runaway/ })
    expect(await row.textContent()).toContain('it runs away')
    await row.getByRole('button', { name: 'Lift' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Lift' }).click()
    await page.getByText('Nothing is killed or held').waitFor()
    expect((await world.send('runaway', 'hello')).status).toBe(200)
  })

  test('everything is stopped only by who has typed it twice', async () => {
    const { page } = at
    await page.goto('/console/kill')
    await page.getByRole('button', { name: 'Kill or hold' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Scope').fill('tenant')
    await dialog.getByLabel('Reason').fill('a drill')
    await dialog.getByLabel(/Type tenant to confirm/).fill('tenan')
    await dialog.getByRole('button', { name: 'Set the switch' }).click()
    await dialog.getByRole('alert').waitFor()
    expect((await world.http('GET', '/api/kill')).body['data']).toEqual([])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
  })

  test('a budget is set, shown as a bar, and changed', async () => {
    const { page } = at
    await page.goto('/console/budgets')
    await page.getByRole('button', { name: 'Set a limit' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Scope').fill('agent:watched')
    await dialog.getByLabel('Limit, in dollars').fill('0.01')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    const meter = page.getByRole('meter', { name: 'Budget of agent:watched' })
    await meter.waitFor()
    expect(Number(await meter.getAttribute('aria-valuemax'))).toBe(10_000)
    expect((await world.http('GET', '/api/budgets/agent:watched')).body).toMatchObject({ limitMicros: 10_000, period: 'day' })
    await page
      .getByRole('row', { name: /agent:watched/ })
      .getByRole('button', { name: 'Change' })
      .click()
    await dialog.getByLabel('Limit, in dollars').fill('2')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('of $2.00').waitFor()
  })

  test('a delivery that failed is looked at and sent again under the same id', async () => {
    const { page } = at
    const receiver: Receiver = await startReceiver()
    receiver.behave('/hook', (n, response) => void response.writeHead(n === 0 ? 500 : 204).end())
    await page.goto('/console/webhooks')
    await page.getByRole('button', { name: 'Add an endpoint' }).click()
    await page.getByRole('dialog').getByLabel('Address').fill(receiver.url('/hook'))
    await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click()
    const secret = page.getByRole('dialog', { name: 'Signing secret' })
    expect(await secret.getByRole('textbox').inputValue()).toMatch(/^whsec_/)
    await secret.getByRole('button', { name: 'I have kept it' }).click()
    await page.getByRole('link', { name: /127\.0\.0\.1/ }).click()
    await page.getByRole('button', { name: 'Send a test' }).click()
    const [first] = await receiver.waitFor('/hook', 1)
    const row = page.getByRole('row', { name: /webhook\.test/ })
    await row.getByText('Attempts').click()
    await row.getByText('status 500').waitFor()
    await row.getByRole('button', { name: 'Redeliver' }).click()
    const arrivals = await receiver.waitFor('/hook', 2)
    expect(arrivals[1]?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    await row.getByText('delivered').waitFor()
    await receiver.close()
  })

  test('a key is made, shown once, used, and revoked', async () => {
    const { page } = at
    await page.goto('/console/keys')
    await page.getByRole('button', { name: 'Make a key' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('made here')
    await dialog.getByRole('checkbox', { name: /agents:read/ }).check()
    await dialog.getByRole('button', { name: 'Make' }).click()
    const shown = page.getByRole('dialog', { name: 'The new key' })
    const key = await shown.getByRole('textbox').inputValue()
    await shown.getByRole('button', { name: 'I have kept it' }).click()
    const headers = { authorization: `Bearer ${key}` }
    expect((await world.http('GET', '/api/agents', undefined, headers)).status).toBe(200)
    await page
      .getByRole('row', { name: /made here/ })
      .getByRole('button', { name: 'Revoke' })
      .click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('revoked', { exact: true }).waitFor()
    expect((await world.http('GET', '/api/agents', undefined, headers)).status).toBe(401)
  })

  test('no page complained', () => expect(at.complaints).toEqual([]))
})
