'use client'

import dynamic from 'next/dynamic'
import { cloneElement, useId, useState, type FormEvent, type ReactElement, type ReactNode } from 'react'
import { Failure } from '#app/console/_parts/bits.tsx'
import { useAction } from '#app/console/_parts/use-resource'

const loadOverlay = () => import('#app/console/_parts/overlay.tsx')
/** Nobody needs it to look at a page. */
export const Overlay = dynamic(loadOverlay, { ssr: false })

/** Loads what dialogs need before one is opened: a kill must not hang on a network that is bad by then. */
export function preloadDialogs(): void {
  // Without it the first dialog that is opened asks again.
  loadOverlay().catch(() => undefined)
}

export interface FormDialogProps {
  title: string
  submit: string
  tone?: 'primary' | 'danger'
  close: () => void
  /** Throws what the dialog shows; the dialog closes when it has resolved. */
  work: (fields: (name: string) => string, form: FormData) => Promise<unknown>
  children: ReactNode
}

/** A dialog with a form: one press at a time, the failure inside, closed when it is done. */
export function FormDialog({ title, submit, tone = 'primary', close, work, children }: FormDialogProps) {
  const action = useAction(async (form: FormData) => {
    await work((name) => {
      const value = form.get(name)
      return typeof value === 'string' ? value.trim() : ''
    }, form)
    close()
  })
  const [isTyped, setTyped] = useState(false)
  const onSubmit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault()
    action.run(new FormData(event.currentTarget))
  }
  return (
    <Overlay title={title} close={close} holds={isTyped || action.busy ? 'input' : undefined}>
      <form className="form" onSubmit={onSubmit} onChange={() => setTyped(true)}>
        {children}
        {action.error !== null && <Failure error={action.error} />}
        <footer>
          <button type="button" className="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className={`button ${tone}`} disabled={action.busy}>
            {submit}
          </button>
        </footer>
      </form>
    </Overlay>
  )
}

/** A button that asks before it acts, and says what will happen. */
export function AskButton({
  label,
  title,
  submit,
  children,
  work,
  className = 'button small',
  tone = 'danger',
}: {
  label: ReactNode
  title: string
  submit: string
  children: ReactNode
  work: FormDialogProps['work']
  className?: string
  tone?: 'primary' | 'danger'
}) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <button type="button" className={className} onClick={() => setOpen(true)}>
        {label}
      </button>
      {open && (
        <FormDialog title={title} submit={submit} tone={tone} close={() => setOpen(false)} work={work}>
          {children}
        </FormDialog>
      )}
    </>
  )
}

/** A labelled field; the control is its child. The hint describes the control and is no part of its name. */
export function Field({
  label,
  hint,
  children,
}: {
  label: string
  hint?: string
  children: ReactElement<{ 'aria-describedby'?: string }>
}) {
  const id = useId()
  return (
    <div className="field">
      <label className="field">
        <span>{label}</span>
        {hint === undefined ? children : cloneElement(children, { 'aria-describedby': id })}
      </label>
      {hint !== undefined && (
        <small id={id} className="muted">
          {hint}
        </small>
      )}
    </div>
  )
}

/** A secret that is shown this once, with a button that copies it. */
export function SecretDialog({ title, secret, about, close }: { title: string; secret: string; about: string; close: () => void }) {
  const [copied, setCopied] = useState(false)
  const copy = (): void => {
    navigator.clipboard.writeText(secret).then(
      () => setCopied(true),
      () => undefined,
    )
  }
  return (
    <Overlay title={title} close={close} holds="secret">
      <div className="form">
        <p className="muted">{about}</p>
        <input className="mono" readOnly value={secret} aria-label={title} onFocus={(event) => event.currentTarget.select()} />
        <footer>
          <button type="button" className="button" onClick={copy}>
            {copied ? 'Copied' : 'Copy'}
          </button>
          <button type="button" className="button primary" onClick={close}>
            I have kept it
          </button>
        </footer>
      </div>
    </Overlay>
  )
}
