import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, signUp, startGuarded, type MadeKey } from '#tests/access/kit'
import type { World } from '#tests/world'
import { chromiumPath, look, openBrowser, type Look } from './console-kit.ts'

let world: World
let browser: Browser
let reader: MadeKey
beforeAll(async () => {
  if (chromiumPath === null) return
  world = await startGuarded({ env: { BATON_USER_TENANT: 'ten_local' } })
  browser = await openBrowser()
  reader = await makeKey(world, ['agents:read'])
})
afterAll(async () => {
  await browser?.close()
  await world?.close()
})

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('API key', { exact: true }).fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

async function signedIn(key: string): Promise<Look> {
  const at = await look(browser, world.base())
  await at.page.goto('/console')
  await signIn(at.page, key)
  await at.page.getByRole('heading', { name: 'Agents' }).waitFor()
  return at
}

/** Signs in with a key from another tab of the same browser. */
async function signInBeside(page: Page, key: string): Promise<void> {
  const beside = await page.context().newPage()
  await beside.goto('/console')
  const status = await beside.evaluate(async (credential) => {
    const headers = { 'content-type': 'application/json' }
    return (await fetch('/api/console/session', { method: 'POST', headers, body: JSON.stringify({ key: credential }) })).status
  }, key)
  expect(status).toBe(200)
  await beside.close()
}

describe.skipIf(chromiumPath === null)('signing in to the console', () => {
  test('a wrong key is refused in the page and leaves no cookie', async () => {
    const { page, complaints, close } = await look(browser, world.base())
    await page.goto('/console/approvals')
    await page.getByLabel('API key', { exact: true }).fill(`bt_${'x'.repeat(43)}`)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').getByText('unauthorized', { exact: true }).waitFor()
    expect(await page.context().cookies()).toEqual([])
    expect(complaints).toEqual([])
    await close()
  })

  test('a key becomes a cookie that no script sees, and the caller is the key', async () => {
    const { page, complaints, close } = await signedIn(reader.key)
    const [cookie] = await page.context().cookies()
    expect(cookie).toMatchObject({ name: 'baton_session', httpOnly: true, sameSite: 'Strict', path: '/' })
    expect(cookie?.value).not.toContain(reader.key.slice(3, 20))
    expect(await page.evaluate('document.cookie')).toBe('')
    expect(await page.evaluate('JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})')).not.toContain('bt_')
    await page.getByText(`key:${reader.id}`).waitFor()
    await page.getByRole('link', { name: 'Keys' }).click()
    await page.getByText('Your credential may not do this').waitFor()
    expect(complaints).toEqual([])

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    expect(await page.context().cookies()).toEqual([])
    await close()
  })

  test('a write with the cookie and without the word is refused, and nothing is done', async () => {
    const { page, close } = await signedIn(adminKey)
    const asked = async (headers: Record<string, string>): Promise<{ status: number; reason?: string }> =>
      page.evaluate(async (sent) => {
        const response = await fetch('/api/agents', {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...sent },
          body: JSON.stringify({ id: 'forged', template: 'scripted' }),
        })
        const { reason } = (await response.json()) as { reason?: string }
        return { status: response.status, ...(reason === undefined ? {} : { reason }) }
      }, headers)
    expect(await asked({})).toEqual({ status: 403, reason: 'csrf' })
    expect(await asked({ 'x-baton-csrf': 'x'.repeat(32) })).toEqual({ status: 403, reason: 'csrf' })
    expect((await world.http('GET', '/api/agents/forged', undefined, bearer(adminKey))).status).toBe(404)
    const { csrf } = await page.evaluate(async () => (await (await fetch('/api/console/session')).json()) as { csrf: string })
    expect((await asked({ 'x-baton-csrf': csrf })).status).toBe(201)
    await close()
  })

  test('a page of another site gets nothing by the cookie', async () => {
    const { page, close } = await signedIn(adminKey)
    const [cookie] = await page.context().cookies()
    const headers = { cookie: `${cookie?.name}=${cookie?.value}`, 'sec-fetch-site': 'cross-site' }
    expect(await world.http('GET', '/api/agents', undefined, headers)).toMatchObject({ status: 403, body: { reason: 'cross_site' } })
    const signIn = await world.http('POST', '/api/console/session', { key: adminKey }, { 'sec-fetch-site': 'cross-site' })
    expect(signIn).toMatchObject({ status: 403, body: { reason: 'cross_site' } })
    await close()
  })

  test('a key that is revoked ends its sessions with the next request', async () => {
    const short = await makeKey(world, ['agents:read'])
    const { page, close } = await signedIn(short.key)
    expect((await world.http('DELETE', `/api/keys/${short.id}`, undefined, bearer(adminKey))).status).toBe(204)
    await page.getByText('Your session has ended').waitFor()
    await close()
  })

  test('a tab that was left behind by a sign-in in another one goes on as the same caller', async () => {
    const older = await signedIn(adminKey)
    const { page } = older
    await page.goto('/console/kill')
    await page.getByRole('button', { name: 'Kill or hold' }).click()
    await signInBeside(page, adminKey)
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Scope').fill('agent:from-the-older-tab')
    await dialog.getByLabel('Reason').fill('a drill')
    await dialog.getByRole('button', { name: 'Set the switch' }).click()
    await page.getByRole('row', { name: /agent:from-the-older-tab/ }).waitFor()
    await signInBeside(page, adminKey)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    expect(await page.context().cookies()).toEqual([])
    expect(older.complaints).toEqual([])
    await older.close()
  })

  test('a tab in whose place another caller has signed in does nothing for that one, and says who it is', async () => {
    const other = await makeKey(world, ['admin'])
    const { page, close } = await signedIn(adminKey)
    await page.goto('/console/kill')
    await page.getByRole('button', { name: 'Kill or hold' }).click()
    await signInBeside(page, other.key)
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Scope').fill('agent:for-somebody-else')
    await dialog.getByLabel('Reason').fill('a drill')
    await dialog.getByRole('button', { name: 'Set the switch' }).click()
    await page.getByRole('alert').getByText(`key:${other.id}`).waitFor()
    expect(await page.locator('.who').textContent()).toContain(`key:${other.id}`)
    expect(await dialog.count()).toBe(0)
    expect(JSON.stringify((await world.http('GET', '/api/kill', undefined, bearer(adminKey))).body)).not.toContain('somebody-else')
    await page.getByRole('button', { name: 'Understood' }).click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    await close()
  })

  test('a sign-out that was not done, because another caller has signed in, is no failure once that is understood', async () => {
    const other = await makeKey(world, ['admin'])
    const { page, close } = await signedIn(adminKey)
    await signInBeside(page, other.key)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Understood' }).click()
    await page.getByRole('button', { name: 'Understood' }).waitFor({ state: 'detached' })
    expect(await page.locator('.failure').count()).toBe(0)
    await close()
  })

  test('a sign-out that did not succeed is said, and nobody is signed out', async () => {
    const { page, close } = await signedIn(adminKey)
    await page.route('**/api/console/session', (route) => (route.request().method() === 'DELETE' ? route.abort() : route.continue()))
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('alert').getByText('No answer').waitFor()
    expect((await page.context().cookies()).length).toBe(1)
    await close()
  })

  test('a message that was being written is there again after signing in anew, for its writer alone', async () => {
    await world.http('POST', '/api/agents', { id: 'drafted', template: 'scripted' }, bearer(adminKey))
    const { page, close } = await signedIn(adminKey)
    await page.goto('/console/agents/drafted')
    const box = page.getByLabel('Message', { exact: true })
    await box.fill('half a sentence')
    await page.context().clearCookies()
    await page.getByText('Your session has ended').waitFor({ timeout: 20_000 })
    await signIn(page, adminKey)
    await box.waitFor()
    expect(await box.inputValue()).toBe('half a sentence')
    await page.context().clearCookies()
    await page.getByText('Your session has ended').waitFor({ timeout: 20_000 })
    await signIn(page, reader.key)
    await box.waitFor()
    expect(await box.inputValue()).toBe('')
    await close()
  })

  test('a key that is shown once stays until it is put away; a dialog is closed by a click beside it only while nothing was typed', async () => {
    const { page, close } = await signedIn(adminKey)
    const beside = (): Promise<void> => page.mouse.click(3, 3)
    await page.goto('/console/keys')
    await page.getByRole('button', { name: 'Make a key' }).click()
    const dialog = page.getByRole('dialog', { name: 'Make a key' })
    await dialog.waitFor()
    await beside()
    await dialog.waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Make a key' }).click()
    await dialog.getByLabel('Name').fill('shown once')
    await beside()
    await dialog.getByRole('checkbox', { name: /agents:read/ }).check()
    await dialog.getByRole('button', { name: 'Make' }).click()

    const shown = page.getByRole('dialog', { name: 'The new key' })
    const key = await shown.getByRole('textbox').inputValue()
    await beside()
    await page.keyboard.press('Escape')
    expect(await shown.getByRole('textbox').inputValue()).toBe(key)
    await page.context().clearCookies()
    await page.getByText('Your session has ended').waitFor({ timeout: 20_000 })
    await signIn(page, adminKey)
    expect(await shown.getByRole('textbox').inputValue()).toBe(key)
    await shown.getByRole('button', { name: 'I have kept it' }).click()
    await shown.waitFor({ state: 'detached' })
    await close()
  })

  test('a user of the Supabase project signs in with e-mail and password', async () => {
    await signUp(world, 'ada@example.com')
    const { page, complaints, close } = await look(browser, world.base())
    await page.goto('/console')
    await page.getByRole('button', { name: 'E-mail' }).click()
    await page.getByLabel('E-mail', { exact: true }).fill('ada@example.com')
    await page.getByLabel('Password').fill('not-the-password')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('do not match a user').waitFor()
    await page.getByLabel('Password').fill('a-long-password-1')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'No agents yet' }).waitFor()
    await page.getByText(/user:[0-9a-f-]{36}/).waitFor()
    expect(complaints).toEqual([])
    await close()
  })

  test('pages allow scripts by nonce alone, nothing from elsewhere, and no frame', async () => {
    const one = await fetch(`${world.base()}/console`)
    const policy = one.headers.get('content-security-policy') ?? ''
    const script = /script-src ([^;]+)/.exec(policy)?.[1] ?? ''
    expect(script).toMatch(/^'self' 'nonce-[\w+/=]{16,}' 'strict-dynamic'$/)
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    expect((await fetch(`${world.base()}/console`)).headers.get('content-security-policy')).not.toBe(policy)
    const html = await one.text()
    const bare = [...html.matchAll(/<(?:script|style)\b[^>]*>/g)].map(([tag]) => tag).filter((tag) => !tag.includes('nonce="'))
    expect(bare).toEqual([])
    expect(html).not.toMatch(/ style="/)
  })
})
