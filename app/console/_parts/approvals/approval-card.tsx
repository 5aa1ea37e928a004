'use client'

import Link from 'next/link'
import { useState } from 'react'
import type { ApprovalView } from '#lib/core/approvals'
import { call } from '#app/console/_parts/api'
import { Ago, Failure, State, useNow } from '#app/console/_parts/bits.tsx'
import { decisionBody, editedInput } from '#app/console/_parts/bodies'
import { shown } from '#app/console/_parts/format'
import { useDraft } from '#app/console/_parts/use-draft'
import { useAction } from '#app/console/_parts/use-resource'

/** One call that waits: what it wants to do, and the decision. */
export function ApprovalCard({ approval, decided }: { approval: ApprovalView; decided: () => void }) {
  const now = useNow()
  const pending = approval.state === 'pending'
  return (
    <article className="card approval" aria-labelledby={approval.id}>
      <header className="row apart">
        <div className="row">
          <h2 id={approval.id}>
            <code>{approval.tool}</code>
          </h2>
          <State name={approval.state} />
          <small className="muted">
            {approval.kind === 'unknown_outcome' ? 'its outcome is unknown, may it run again?' : approval.reason}
          </small>
        </div>
        <small className="muted">
          <Link className="mono" href={`/console/agents/${encodeURIComponent(approval.agentId)}`} prefetch={false}>
            {approval.agentId}
          </Link>{' '}
          · asked <Ago at={approval.createdAt} now={now} />
          {pending && (
            <>
              {' '}
              · {approval.defaultDecision === 'deny' ? 'denied' : 'allowed'} by default <Ago at={approval.expiresAt} now={now} />
            </>
          )}
        </small>
      </header>
      {pending ? <Decision approval={approval} decided={decided} /> : <Decided approval={approval} now={now} />}
    </article>
  )
}

function Decision({ approval, decided }: { approval: ApprovalView; decided: () => void }) {
  const asked = shown(approval.input)
  const [text, setText] = useDraft<string | null>(`input of ${approval.id}`, null)
  const [note, setNote] = useDraft<string>(`note on ${approval.id}`, '')
  const [always, setAlways] = useState(false)
  const input = editedInput(asked, text)
  const broken = input === undefined
  const decide = useAction(async (decision: 'allow' | 'deny') => {
    await call('POST', `/api/approvals/${approval.id}`, { body: decisionBody(decision, { note, input, always }) })
    setText(null)
    setNote('')
    decided()
  })
  return (
    <>
      {text === null ? (
        <pre className="code" tabIndex={0}>
          {asked}
        </pre>
      ) : (
        <label className="field">
          <span>Input, as JSON</span>
          <textarea
            rows={Math.min(14, text.split('\n').length + 1)}
            value={text}
            spellCheck={false}
            aria-invalid={broken}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          {broken && <small role="alert">This is not JSON yet.</small>}
        </label>
      )}
      {decide.error !== null && <Failure error={decide.error} />}
      <div className="decide">
        <button type="button" className="button primary" disabled={decide.busy || broken} onClick={() => decide.run('allow')}>
          {input ? 'Allow as edited' : 'Allow'}
        </button>
        <button type="button" className="button quiet-danger" disabled={decide.busy} onClick={() => decide.run('deny')}>
          Deny
        </button>
        <button type="button" className="button" aria-pressed={text !== null} onClick={() => setText(text === null ? asked : null)}>
          {text === null ? 'Edit input' : 'Leave as asked'}
        </button>
        <input
          aria-label="Note"
          placeholder="Note, for the record"
          maxLength={2_000}
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
        />
        {approval.kind === 'permission' && (
          <label className="check">
            <input type="checkbox" checked={always} onChange={(event) => setAlways(event.currentTarget.checked)} />
            <small>
              Always allow <code>{approval.tool}</code> here
            </small>
          </label>
        )}
      </div>
    </>
  )
}

function Decided({ approval, now }: { approval: ApprovalView; now: number }) {
  const edited = approval.editedInput !== null && approval.editedInput !== undefined
  return (
    <>
      <pre className="code" tabIndex={0}>
        {shown(edited ? approval.editedInput : approval.input)}
      </pre>
      <small className="muted">
        {approval.decidedBy === null ? 'Nobody decided' : `By ${approval.decidedBy}`}
        {approval.decidedAt !== null && (
          <>
            , <Ago at={approval.decidedAt} now={now} />
          </>
        )}
        {edited ? ', with edited input' : ''}
        {approval.note !== null && `: ${approval.note}`}
      </small>
    </>
  )
}
