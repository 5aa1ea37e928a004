'use client'

import { createContext, useCallback, useContext, useEffect, useMemo, useState, type FormEvent, type ReactNode } from 'react'
import { call, setLink } from '#app/console/_parts/api'
import { Failure, Mark, Waiting } from '#app/console/_parts/bits.tsx'
import { Field } from '#app/console/_parts/dialog.tsx'
import { drafts } from '#app/console/_parts/drafts'
import { useAction, type Action } from '#app/console/_parts/use-resource'

/** What GET /api/console/session tells. */
export interface Session {
  signedIn: boolean
  kind: string | null
  actor: string | null
  csrf: string | null
  expiresAt: string | null
  passwords: boolean
  local: boolean
  templates: readonly string[]
}

/** The session of whoever looks at the page, and what can be done about it. */
export interface CurrentSession {
  session: Session
  signOut: Action<[]>
  /** Another tab has signed in as somebody else, who is the caller here too. */
  isOther: boolean
  acceptOther: () => void
}

const Current = createContext<CurrentSession | null>(null)

/** The session of whoever looks at the page; only below SessionGate. */
export function useSession(): CurrentSession {
  const current = useContext(Current)
  if (current === null) throw new Error('useSession stands outside SessionGate')
  return current
}

/** Shows its children to whoever is signed in, and the sign-in to everybody else. */
export function SessionGate({ children }: { children: ReactNode }) {
  const [session, setSession] = useState<Session | null>(null)
  const [ended, setEnded] = useState(false)
  const [asked, setAsked] = useState(0)
  const [failure, setFailure] = useState<Error | null>(null)

  const [isOther, setOther] = useState(false)

  const take = useCallback((next: Session): void => {
    setLink({
      word: next.csrf,
      ended() {
        setSession((before) => (before === null ? null : { ...before, signedIn: false }))
        setEnded(true)
      },
      async renew() {
        const now = await call<Session>('GET', '/api/console/session')
        take(now)
        setEnded(!now.signedIn)
        setOther(now.signedIn && now.actor !== next.actor)
        return now.signedIn && now.actor === next.actor
      },
    })
    if (next.signedIn) setEnded(false)
    setOther(false)
    setSession(next)
  }, [])

  useEffect(() => {
    const left = new AbortController()
    call<Session>('GET', '/api/console/session', { signal: left.signal }).then(take, (error: unknown) => {
      if (!left.signal.aborted) setFailure(error instanceof Error ? error : new Error(String(error)))
    })
    return () => left.abort()
  }, [asked, take])

  const signOut = useAction(async () => {
    take(await call<Session>('DELETE', '/api/console/session'))
    drafts.clear()
  })
  const acceptOther = (): void => {
    setOther(false)
    // What was not done for the other caller need not be said a second time.
    signOut.clear()
  }
  const current = useMemo(
    () => (session === null ? null : { session, signOut, isOther, acceptOther }),
    [session, signOut.busy, signOut.error, isOther],
  )

  if (current === null)
    return (
      <main className="signin">
        {failure === null ? (
          <Waiting label="Opening the console" />
        ) : (
          <Failure error={failure} retry={() => (setFailure(null), setAsked((n) => n + 1))} />
        )}
      </main>
    )
  if (!current.session.signedIn) return <SignIn passwords={current.session.passwords} ended={ended} take={take} />
  // What one caller has opened is not left standing for another one.
  return (
    <Current key={current.session.actor} value={current}>
      {children}
    </Current>
  )
}

function SignIn({ passwords, ended, take }: { passwords: boolean; ended: boolean; take: (session: Session) => void }) {
  const [by, setBy] = useState<'key' | 'password'>('key')
  const enter = useAction(async (form: FormData) => {
    const text = (name: string): string => {
      const value = form.get(name)
      return typeof value === 'string' ? value : ''
    }
    const body = by === 'key' ? { key: text('key') } : { email: text('email'), password: text('password') }
    take(await call<Session>('POST', '/api/console/session', { body }))
  })
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault()
    enter.run(new FormData(event.currentTarget))
  }
  return (
    <main className="signin">
      <form className="card signin-card" onSubmit={submit}>
        <h1 className="brand">
          <Mark /> Baton
        </h1>
        <p className="muted">
          {ended ? 'Your session has ended. Sign in again to go on.' : 'Sign in to see agents, decide approvals and set limits.'}
        </p>
        {passwords && (
          <div className="segments" role="group" aria-label="Sign in with">
            <button type="button" aria-pressed={by === 'key'} onClick={() => setBy('key')}>
              API key
            </button>
            <button type="button" aria-pressed={by === 'password'} onClick={() => setBy('password')}>
              E-mail
            </button>
          </div>
        )}
        {by === 'key' ? (
          <Field label="API key" hint="Begins with bt_. It is sealed into a cookie that scripts cannot read.">
            <input name="key" type="password" autoComplete="off" spellCheck={false} required />
          </Field>
        ) : (
          <>
            <Field label="E-mail">
              <input name="email" type="email" autoComplete="username" required />
            </Field>
            <Field label="Password">
              <input name="password" type="password" autoComplete="current-password" required />
            </Field>
          </>
        )}
        {enter.error !== null && <Failure error={enter.error} />}
        <button className="button primary" type="submit" disabled={enter.busy}>
          {enter.busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  )
}
