'use client'

import { useEffect, useState, type ReactNode } from 'react'
import { Problem, wordsOf } from '#app/console/_parts/api'
import { ago, instant, short, words } from '#app/console/_parts/format'

/** The sign of the product: a baton, handed on. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M2.5 13.5 13.5 2.5" />
      <circle cx="12" cy="12" r="2" />
    </svg>
  )
}

const tones: Readonly<Record<string, string>> = {
  working: 'live',
  running: 'live',
  executing: 'live',
  completed: 'good',
  allowed: 'good',
  approved: 'good',
  delivered: 'good',
  active: 'good',
  enabled: 'good',
  paused: 'warn',
  awaiting_approval: 'warn',
  approval_required: 'warn',
  waiting: 'warn',
  waiting_external: 'warn',
  hold: 'warn',
  pending: 'warn',
  interrupted: 'warn',
  failed: 'bad',
  killed: 'bad',
  kill: 'bad',
  refused: 'bad',
  denied: 'bad',
  budget_exceeded: 'bad',
  sealed: 'bad',
  revoked: 'bad',
  disabled: 'bad',
}

/** A state as a coloured word: the word says it, the colour only helps. */
export function State({ name }: { name: string }) {
  return <span className={`state ${tones[name] ?? 'calm'}`}>{words(name)}</span>
}

/** The wall clock of the page, in steps. */
export function useNow(everyMs = 5_000): number {
  const [now, setNow] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}

export function Ago({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={instant(at)}>
      {ago(at, now)}
    </time>
  )
}

/** A long id, short and copyable. */
export function Id({ id, label = 'id' }: { id: string; label?: string }) {
  const [copied, setCopied] = useState(false)
  const copy = (): void => {
    navigator.clipboard.writeText(id).then(
      () => {
        setCopied(true)
        setTimeout(() => setCopied(false), 1_500)
      },
      () => undefined,
    )
  }
  return (
    <button
      type="button"
      className="id mono"
      title={`${id} (copy)`}
      aria-label={copied ? 'copied' : `${short(id)}, copy the ${label}`}
      onClick={copy}
    >
      {copied ? 'copied' : short(id)}
    </button>
  )
}

export function Waiting({ label = 'Loading' }: { label?: string }) {
  return (
    <div className="waiting" role="status">
      <span className="spin" aria-hidden="true" /> {label}…
    </div>
  )
}

/** Grey lines in the place of rows that are on their way. */
export function Rows({ rows = 5 }: { rows?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} />
      ))}
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Mark />
      <h2>{title}</h2>
      {children !== undefined && <div className="muted">{children}</div>}
    </div>
  )
}

/** What went wrong, in the API's own words, with what could help. */
export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  const problem = error instanceof Problem ? error : null
  const forbidden = problem?.status === 403
  return (
    <div className={`failure ${forbidden ? 'calm' : ''}`} role="alert">
      <strong>{forbidden ? 'Your credential may not do this' : problem?.status === 0 ? 'No answer' : 'That did not work'}</strong>
      <p>{wordsOf(error)}</p>
      {problem !== null && problem.status !== 0 && <code>{problem.code}</code>}
      {retry !== undefined && (
        <button type="button" className="button small" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}

export function PageHead({ title, children, about }: { title: ReactNode; about?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {about !== undefined && <p className="muted">{about}</p>}
      </div>
      <div className="actions">{children}</div>
    </header>
  )
}

/** A list's state before there are rows: loading, refused, or empty. Null when there are rows. */
export function ListState({
  list,
  empty,
}: {
  list: { data: { data: unknown[] } | null; error: Error | null; refresh: () => void }
  empty: ReactNode
}) {
  if (list.data === null) return list.error === null ? <Rows /> : <Failure error={list.error} retry={list.refresh} />
  return (
    <>
      {list.error !== null && <Stale error={list.error} />}
      {list.data.data.length === 0 && empty}
    </>
  )
}

/** What is shown may be old: the last question was not answered. */
export function Stale({ error }: { error: Error }) {
  return (
    <p className="stale" role="status">
      Not up to date: {wordsOf(error)}
    </p>
  )
}

export function Pager({
  page,
  next,
  back,
  forward,
}: {
  page: number
  next: string | null
  back: () => void
  forward: (to: string) => void
}) {
  if (page === 1 && next === null) return null
  return (
    <nav className="pager" aria-label="Pages">
      <button type="button" className="button small" disabled={page === 1} onClick={back}>
        Previous
      </button>
      <span className="muted">Page {page}</span>
      <button type="button" className="button small" disabled={next === null} onClick={() => next !== null && forward(next)}>
        Next
      </button>
    </nav>
  )
}
