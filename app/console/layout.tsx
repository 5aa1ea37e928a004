import type { Metadata, Viewport } from 'next'
import { cookies, headers } from 'next/headers'
import type { ReactNode } from 'react'
import { Shell } from '#app/console/_parts/shell.tsx'
import '#app/console/_parts/styles/base.css'
import '#app/console/_parts/styles/parts.css'
import '#app/console/_parts/styles/pages.css'

export const metadata: Metadata = {
  title: { default: 'Baton', template: '%s · Baton' },
  description: 'Agents, their runs and what they may do',
  robots: { index: false, follow: false },
  icons: [
    {
      url: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M3 13 13 3' stroke='%234458d8' stroke-width='4' stroke-linecap='round'/></svg>",
    },
  ],
}

export const viewport: Viewport = { width: 'device-width', initialScale: 1, colorScheme: 'light dark' }

const themes = ['light', 'dark'] as const

/** A root layout of its own: `/` and everything beside /console is the adopter's. */
export default async function ConsoleLayout({ children }: { children: ReactNode }) {
  // Read here and not by a script, so that no page flashes in the other theme.
  const chosen = (await cookies()).get('baton_theme')?.value
  const theme = themes.find((known) => known === chosen)
  const nonce = (await headers()).get('x-nonce') ?? undefined
  return (
    <html lang="en" {...(theme === undefined ? {} : { 'data-theme': theme })}>
      <head>{nonce === undefined ? null : <meta property="csp-nonce" nonce={nonce} />}</head>
      <body>
        <Shell theme={theme ?? 'system'}>{children}</Shell>
      </body>
    </html>
  )
}
