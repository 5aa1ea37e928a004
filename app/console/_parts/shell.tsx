'use client'

import Link from 'next/link'
import { usePathname } from 'next/navigation'
import { useEffect, useState, type ReactNode } from 'react'
import type { ApprovalView } from '#lib/core/approvals'
import type { Page } from '#app/console/_parts/api'
import { Failure, Mark } from '#app/console/_parts/bits.tsx'
import { preloadDialogs } from '#app/console/_parts/dialog.tsx'
import { whenIdle } from '#app/console/_parts/idle'
import { SessionGate, useSession } from '#app/console/_parts/session.tsx'
import { useResource } from '#app/console/_parts/use-resource'

const places = [
  { href: '/console', name: 'Agents' },
  { href: '/console/approvals', name: 'Approvals' },
  { href: '/console/budgets', name: 'Budgets' },
  { href: '/console/kill', name: 'Kill switch' },
  { href: '/console/webhooks', name: 'Webhooks' },
  { href: '/console/usage', name: 'Usage' },
  { href: '/console/audit', name: 'Audit' },
  { href: '/console/keys', name: 'Keys' },
]

type Theme = 'system' | 'light' | 'dark'
const themes: readonly Theme[] = ['system', 'light', 'dark']

/** The frame of every page: where one can go, who one is, light or dark. */
export function Shell({ theme, children }: { theme: Theme; children: ReactNode }) {
  return (
    <SessionGate>
      <Frame theme={theme}>{children}</Frame>
    </SessionGate>
  )
}

function Frame({ theme, children }: { theme: Theme; children: ReactNode }) {
  const path = usePathname()
  const [open, setOpen] = useState(false)
  const { session, signOut, isOther, acceptOther } = useSession()
  useEffect(() => setOpen(false), [path])
  useEffect(() => whenIdle(preloadDialogs), [])
  const pending = useResource<Page<ApprovalView>>('/api/approvals?state=pending&limit=100', 10_000)
  const waiting = pending.data?.data.length ?? 0
  const isHere = (href: string): boolean =>
    href === '/console' ? path === href || path.startsWith('/console/agents') : path.startsWith(href)

  return (
    <div className="frame">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className={`side ${open ? 'open' : ''}`}>
        <div className="side-top">
          <Link className="brand" href="/console">
            <Mark /> Baton
          </Link>
          <button type="button" className="button small menu" aria-expanded={open} aria-controls="places" onClick={() => setOpen(!open)}>
            Menu{waiting > 0 && !open ? ` · ${waiting}` : ''}
          </button>
        </div>
        <div id="places" className="side-body">
          <nav aria-label="Console">
            {places.map(({ href, name }) => (
              <Link key={href} href={href} prefetch={false} aria-current={isHere(href) ? 'page' : undefined}>
                {name}
                {name === 'Approvals' && waiting > 0 && (
                  <span className="badge" aria-label={`${waiting} waiting`}>
                    {waiting === 100 ? '100+' : waiting}
                  </span>
                )}
              </Link>
            ))}
          </nav>
          <div className="side-foot">
            <ThemeSwitch initial={theme} />
            <p className="who">
              <span className="muted">{session.kind === 'local' ? 'Local mode, no sign-in' : 'Signed in as'}</span>
              {session.kind !== 'local' && (
                <>
                  <span className="mono" title={session.actor ?? ''}>
                    {session.actor}
                  </span>
                  <button type="button" className="button small" disabled={signOut.busy} onClick={() => signOut.run()}>
                    Sign out
                  </button>
                </>
              )}
            </p>
            {signOut.error !== null && !isOther && <Failure error={signOut.error} />}
          </div>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {isOther && (
          <div className="notice other" role="alert">
            <span>
              In another tab <span className="mono">{session.actor}</span> has signed in, and so has this one. What was pressed here was not
              done.
            </span>
            <button type="button" className="button small" onClick={acceptOther}>
              Understood
            </button>
          </div>
        )}
        {children}
      </main>
    </div>
  )
}

function ThemeSwitch({ initial }: { initial: Theme }) {
  const [theme, setTheme] = useState(initial)
  const choose = (next: Theme): void => {
    setTheme(next)
    if (next === 'system') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = next
    const age = next === 'system' ? 0 : 31_536_000
    document.cookie = `baton_theme=${next}; Path=/console; SameSite=Strict; Max-Age=${age}`
  }
  return (
    <div className="segments" role="group" aria-label="Theme">
      {themes.map((name) => (
        <button key={name} type="button" aria-pressed={theme === name} onClick={() => choose(name)}>
          {name === 'system' ? 'Auto' : name === 'light' ? 'Light' : 'Dark'}
        </button>
      ))}
    </div>
  )
}
