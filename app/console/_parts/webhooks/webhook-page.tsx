'use client'

import Link from 'next/link'
import { useParams, useRouter } from 'next/navigation'
import { useState } from 'react'
import type { WebhookDelivery, WebhookEndpoint } from '#lib/core/webhooks'
import { call, query, type Page } from '#app/console/_parts/api'
import { Ago, Empty, Failure, PageHead, Rows, State, useNow } from '#app/console/_parts/bits.tsx'
import { AskButton, Field, SecretDialog } from '#app/console/_parts/dialog.tsx'
import { DeliveryRow } from '#app/console/_parts/webhooks/delivery-row.tsx'
import { PagedTable } from '#app/console/_parts/paged-table.tsx'
import { useDraft } from '#app/console/_parts/use-draft'
import { useAction, useCursor, useResource } from '#app/console/_parts/use-resource'

/** One endpoint: what was sent to it, what it answered, and the way to send again. */
export function WebhookPage() {
  const { id } = useParams<{ id: string }>()
  const router = useRouter()
  const base = `/api/webhooks/${encodeURIComponent(id)}`
  const endpoint = useResource<WebhookEndpoint>(base, 6_000)
  const [state, setState] = useState('')
  const [secret, setSecret] = useDraft<string | null>(`secret of ${id}`, null)
  const pages = useCursor(state)
  const list = useResource<Page<WebhookDelivery>>(`${base}/deliveries${query({ state, limit: 25, cursor: pages.cursor })}`, 3_000)
  const now = useNow()
  const refresh = (): void => {
    endpoint.refresh()
    list.refresh()
  }
  const test = useAction(async () => {
    await call('POST', `${base}/test`, { body: {} })
    refresh()
  })
  const toggle = useAction(async (enabled: boolean) => {
    await call('PATCH', base, { body: { enabled } })
    refresh()
  })
  const failure = test.error ?? toggle.error

  if (endpoint.data === null)
    return (
      <>
        <PageHead title="Webhook" />
        {endpoint.error === null ? <Rows /> : <Failure error={endpoint.error} retry={endpoint.refresh} />}
      </>
    )
  const { url, enabled, disabledReason, disabledAt, lastError, description } = endpoint.data
  return (
    <>
      <nav className="crumbs" aria-label="Breadcrumb">
        <Link href="/console/webhooks">Webhooks</Link> <span aria-hidden="true">/</span> <span className="mono">{id}</span>
      </nav>
      <PageHead
        title={
          <span className="row">
            <span className="mono">{url}</span> <State name={enabled ? 'enabled' : 'disabled'} />
          </span>
        }
        about={description ?? undefined}
      >
        <button type="button" className="button" disabled={test.busy || !enabled} onClick={() => test.run()}>
          Send a test
        </button>
        <AskButton
          label="Rotate secret"
          title="Rotate the secret"
          submit="Rotate"
          tone="primary"
          className="button"
          work={async () => {
            const made = await call<{ secret: string }>('POST', `${base}/rotate-secret`, { body: {} })
            setSecret(made.secret)
            refresh()
          }}
        >
          <p>A new secret signs from now on. For a day the old one signs too, so that the receiver can change over.</p>
        </AskButton>
        <AskButton
          label="Delete"
          title="Delete the endpoint"
          submit="Delete"
          className="button quiet-danger"
          work={async () => {
            await call('DELETE', base)
            router.push('/console/webhooks')
          }}
        >
          <p>The endpoint goes with the log of its deliveries. What has not been delivered never will be.</p>
        </AskButton>
      </PageHead>
      <div className="stack">
        {failure !== null && <Failure error={failure} />}
        {!enabled && (
          <div className="notice bad">
            <span>
              Disabled{disabledReason === 'failing' && ' after days of failures'}
              {disabledReason === 'gone' && ', because it answered 410 Gone'}
              {disabledAt !== null && (
                <>
                  {' '}
                  <Ago at={disabledAt} now={now} />
                </>
              )}
              . Deliveries wait.{lastError === null ? '' : ` Last error: ${lastError}`}
            </span>
            <button type="button" className="button small" disabled={toggle.busy} onClick={() => toggle.run(true)}>
              Enable
            </button>
          </div>
        )}
        <section className="card" aria-label="Deliveries">
          <header>
            <h2>Deliveries</h2>
            <div className="row">
              <Field label="State">
                <select className="inline" value={state} onChange={(event) => setState(event.currentTarget.value)}>
                  <option value="">Any</option>
                  <option value="pending">Pending</option>
                  <option value="delivered">Delivered</option>
                  <option value="failed">Failed</option>
                </select>
              </Field>
            </div>
          </header>
          <PagedTable
            list={list}
            pages={pages}
            columns={['Event', 'State', ['Attempts', 'num'], 'Made', ['Actions', 'acts']]}
            empty={<Empty title="Nothing sent yet">Send a test, or wait for a run to end.</Empty>}
          >
            {(delivery) => <DeliveryRow key={delivery.id} base={base} delivery={delivery} now={now} done={list.refresh} />}
          </PagedTable>
        </section>
      </div>
      {secret !== null && (
        <SecretDialog title="New signing secret" secret={secret} about="It is shown this once." close={() => setSecret(null)} />
      )}
    </>
  )
}
