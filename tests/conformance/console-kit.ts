import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import AxeBuilder from '@axe-core/playwright'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** Where a Chromium is on this machine: CHROMIUM_PATH, else on the PATH; null where there is none. */
export const chromiumPath: string | null =
  process.env['CHROMIUM_PATH'] ??
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file)) ??
  null

if (chromiumPath === null)
  console.warn('The console is not tested: no Chromium was found. Install one (apt-get install chromium) or set CHROMIUM_PATH.')

/** A browser without a window. */
export function openBrowser(): Promise<Browser> {
  if (chromiumPath === null) throw new Error('no Chromium')
  return chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'], timeout: 30_000 })
}

/** A page with a memory of its own, and what its scripts complained of: a blocked script or style is among it. */
export interface Look {
  page: Page
  /** What went wrong in the page; answers that the page asked for and was refused are none of it. */
  complaints: string[]
  close(): Promise<void>
}

export async function look(browser: Browser, baseURL: string, options: BrowserContextOptions = {}): Promise<Look> {
  const context = await browser.newContext({ baseURL, viewport: { width: 1_280, height: 800 }, ...options })
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text())
  })
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.protocol.startsWith('http') && url.origin !== new URL(baseURL).origin) complaints.push(`asked elsewhere: ${url.href}`)
  })
  return { page, complaints, close: () => context.close() }
}

/** What axe finds wrong with the page as it stands, in short; rules of WCAG 2.2 AA and best practices. */
export async function axe(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')} ${failureSummary ?? ''}`),
  )
}
