'use client'

import { useState } from 'react'
import type { KeyView } from '#lib/core/keys'
import { call, query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, PageHead, State, useNow } from '#app/console/_parts/bits.tsx'
import { keyBody } from '#app/console/_parts/bodies'
import { AskButton, Field, FormDialog, SecretDialog } from '#app/console/_parts/dialog.tsx'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useDraft } from '#app/console/_parts/use-draft'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

const rights = [
  { scope: 'agents:read', says: 'Read agents, runs, events and usage' },
  { scope: 'agents:run', says: 'Send messages, interrupt, cancel, retry' },
  { scope: 'approvals:decide', says: 'Decide approvals' },
  { scope: 'admin', says: 'All of these, and budgets, kill, webhooks, keys and audit' },
] as const

function stateOf(key: KeyView): string {
  if (key.revokedAt !== null) return 'revoked'
  return key.active ? 'active' : 'expired'
}

/** API keys: who may call, until when, and the way to end it. */
export function KeysPage() {
  const pages = useCursor('keys')
  const list = useResource<Page<KeyView>>(`/api/keys${query({ limit: 50, cursor: pages.cursor })}`, 15_000)
  const [making, setMaking] = useState(false)
  const [made, setMade] = useDraft<string | null>('new key', null)
  const now = useNow()
  return (
    <>
      <PageHead title="Keys" about="A key is stored as a hash: nobody, also not this console, can show it again.">
        <button type="button" className="button primary" onClick={() => setMaking(true)}>
          Make a key
        </button>
      </PageHead>
      <section className="card" aria-label="Keys">
        <PagedTable
          list={list}
          pages={pages}
          columns={['Name', 'State', 'Rights', 'Last used', 'Ends', ['Actions', 'acts']]}
          empty={<Empty title="No keys yet">Make one for each program that calls, with no more rights than it needs.</Empty>}
        >
          {(key) => (
            <tr key={key.id}>
              <td className="head">
                <span className="strong">{key.name}</span> <small className="mono muted">{key.prefix}…</small>
              </td>
              <td data-label="State">
                <State name={stateOf(key)} />
              </td>
              <td data-label="Rights" className="muted">
                {key.scopes.join(', ')}
              </td>
              <td data-label="Last used" className="muted nowrap">
                {key.lastUsedAt === null ? 'never' : <Ago at={key.lastUsedAt} now={now} />}
              </td>
              <td data-label="Ends" className="muted nowrap">
                {key.expiresAt === null ? 'never' : <Ago at={key.expiresAt} now={now} />}
              </td>
              <td className="acts">
                {key.active && (
                  <AskButton
                    label="Revoke"
                    title={`Revoke ${key.name}`}
                    submit="Revoke"
                    className="button small quiet-danger"
                    work={async () => {
                      await call('DELETE', `/api/keys/${key.id}`)
                      list.refresh()
                    }}
                  >
                    <p>The next request with this key is refused, in every process. This cannot be taken back.</p>
                  </AskButton>
                )}
              </td>
            </tr>
          )}
        </PagedTable>
      </section>
      {making && (
        <FormDialog
          title="Make a key"
          submit="Make"
          close={() => setMaking(false)}
          work={async (field, form) => {
            const body = keyBody(field, form.getAll('scope'), Date.now())
            setMade((await call<{ key: string }>('POST', '/api/keys', { body })).key)
            list.refresh()
          }}
        >
          <Field label="Name">
            <input name="name" required maxLength={100} placeholder="orders-backend" />
          </Field>
          <fieldset>
            <legend>Rights</legend>
            {rights.map(({ scope, says }) => (
              <label className="check" key={scope}>
                <input type="checkbox" name="scope" value={scope} />
                <span>
                  <code>{scope}</code> <small className="muted">{says}</small>
                </span>
              </label>
            ))}
          </fieldset>
          <Field label="Ends after">
            <select name="expires" defaultValue="90">
              <option value="30">30 days</option>
              <option value="90">90 days</option>
              <option value="365">a year</option>
              <option value="">never</option>
            </select>
          </Field>
        </FormDialog>
      )}
      {made !== null && (
        <SecretDialog
          title="The new key"
          secret={made}
          about="It is shown this once. Whoever has it has its rights."
          close={() => setMade(null)}
        />
      )}
    </>
  )
}
