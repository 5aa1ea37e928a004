'use client'

import type { DeliveryAttempt, WebhookDelivery } from '#lib/core/webhooks'
import { call } from '#app/console/_parts/api'
import { Ago, Failure, Id, State } from '#app/console/_parts/bits.tsx'
import { clockTime, count, duration } from '#app/console/_parts/format'
import { useAction } from '#app/console/_parts/use-resource'

/** One delivery with its attempts; sent again under the same webhook-id. */
export function DeliveryRow({
  base,
  delivery,
  now,
  done,
}: {
  base: string
  delivery: Omit<WebhookDelivery, 'number'>
  now: number
  done: () => void
}) {
  const again = useAction(async () => {
    await call('POST', `${base}/deliveries/${delivery.id}/redeliver`, { body: {} })
    done()
  })
  return (
    <tr>
      <td className="head">
        <div>
          <code className="strong">{delivery.type}</code> <Id id={delivery.eventId} label="webhook-id" />
          {delivery.log.length > 0 && (
            <details>
              <summary>Attempts</summary>
              <ol className="attempts">
                {delivery.log.map((attempt) => (
                  <li key={attempt.attempt}>{attemptText(attempt)}</li>
                ))}
              </ol>
            </details>
          )}
          {again.error !== null && <Failure error={again.error} />}
        </div>
      </td>
      <td data-label="State">
        <State name={delivery.state} />
      </td>
      <td data-label="Attempts" className="num">
        {count(delivery.attempts)}
      </td>
      <td data-label="Made" className="muted nowrap">
        <Ago at={delivery.createdAt} now={now} />
      </td>
      <td className="acts">
        <button type="button" className="button small" disabled={again.busy} onClick={() => again.run()}>
          Redeliver
        </button>
      </td>
    </tr>
  )
}

function attemptText({ at, status, error, durationMs }: DeliveryAttempt): string {
  const what = status === null ? 'no answer' : `status ${status}`
  return `${clockTime(at)} · ${what}${durationMs === undefined ? '' : ` · ${duration(durationMs)}`}${error === null ? '' : ` · ${error}`}`
}
