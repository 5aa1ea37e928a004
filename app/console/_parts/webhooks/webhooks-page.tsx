'use client'

import Link from 'next/link'
import { useState } from 'react'
import type { WebhookEndpoint } from '#lib/core/webhooks'
import { call, query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, PageHead, State, useNow } from '#app/console/_parts/bits.tsx'
import { Field, FormDialog, SecretDialog } from '#app/console/_parts/dialog.tsx'
import { count } from '#app/console/_parts/format'
import { eventNames } from '#app/console/_parts/webhooks/event-names'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useDraft } from '#app/console/_parts/use-draft'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

/** Who is told of what happens. */
export function WebhooksPage() {
  const pages = useCursor('webhooks')
  const list = useResource<Page<WebhookEndpoint>>(`/api/webhooks${query({ limit: 50, cursor: pages.cursor })}`, 6_000)
  const [adding, setAdding] = useState(false)
  const [secret, setSecret] = useDraft<string | null>('secret of a new endpoint', null)
  const now = useNow()
  return (
    <>
      <PageHead title="Webhooks" about="Signed by the Standard Webhooks rules, repeated for three days, and never twice under another id.">
        <button type="button" className="button primary" onClick={() => setAdding(true)}>
          Add an endpoint
        </button>
      </PageHead>
      <section className="card" aria-label="Webhook endpoints">
        <PagedTable
          list={list}
          pages={pages}
          columns={['Address', 'State', 'Events', ['Failures in a row', 'num'], 'Added']}
          empty={<Empty title="No endpoint yet">Add one to be told when runs end, need approval or near a budget.</Empty>}
        >
          {(one) => (
            <tr key={one.id}>
              <td className="head">
                <Link className="strong mono" href={`/console/webhooks/${one.id}`} prefetch={false}>
                  {one.url}
                </Link>
                {one.description !== null && <div className="muted">{one.description}</div>}
              </td>
              <td data-label="State">
                <State name={one.enabled ? 'enabled' : 'disabled'} />
              </td>
              <td data-label="Events" className="muted">
                {one.events === null || one.events.length === 0 ? 'all usual ones' : one.events.join(', ')}
              </td>
              <td data-label="Failures in a row" className="num">
                {count(one.failures)}
              </td>
              <td data-label="Added" className="muted nowrap">
                <Ago at={one.createdAt} now={now} />
              </td>
            </tr>
          )}
        </PagedTable>
      </section>
      {adding && (
        <FormDialog
          title="Add an endpoint"
          submit="Add"
          close={() => setAdding(false)}
          work={async (field, form) => {
            const events = form.getAll('event')
            const description = field('description')
            const body = { url: field('url'), ...(events.length === 0 ? {} : { events }), ...(description === '' ? {} : { description }) }
            const made = await call<{ secret: string }>('POST', '/api/webhooks', { body })
            setSecret(made.secret)
            list.refresh()
          }}
        >
          <Field label="Address" hint="https, and public outside local mode.">
            <input name="url" type="url" required placeholder="https://example.com/hooks/baton" />
          </Field>
          <Field label="Description">
            <input name="description" maxLength={500} />
          </Field>
          <fieldset>
            <legend>Events; none chosen means all but run.handed_off</legend>
            <div className="pair">
              {eventNames.map((name) => (
                <label className="check" key={name}>
                  <input type="checkbox" name="event" value={name} />
                  <code>{name}</code>
                </label>
              ))}
            </div>
          </fieldset>
        </FormDialog>
      )}
      {secret !== null && (
        <SecretDialog
          title="Signing secret"
          secret={secret}
          about="The receiver verifies with it. It is shown this once; a lost one is rotated."
          close={() => setSecret(null)}
        />
      )}
    </>
  )
}
