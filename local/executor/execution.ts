import type { Call } from '#local/executor/call'
import type { Job } from '#local/executor/run'
import { canonicalJson, signature } from '#local/executor/signing'

// Inngest's own bound on a request is higher; Baton's slices end long before.
const REQUEST_TIMEOUT_MS = 300_000
// Above this the SDK is told to fetch events and steps itself, as Inngest does for large states.
const LARGEST_INLINE_BYTES = 4 * 1024 * 1024

function bodyOf({ run, attempt, queueItemId }: Job, useApi: boolean): string {
  const order = [...run.steps.keys()]
  return canonicalJson({
    version: -1,
    ctx: {
      run_id: run.id,
      fn_id: run.definition.id,
      qi_id: queueItemId,
      env: 'local',
      attempt,
      max_attempts: run.definition.maxAttempts,
      disable_immediate_execution: false,
      use_api: useApi,
      stack: { stack: order, current: order.length },
    },
    event: run.event,
    events: useApi ? [] : [run.event],
    steps: useApi ? {} : Object.fromEntries(run.steps),
  })
}

/** The headers of each request to an app: the signature too, whenever a signing key is known. */
export function signedHeaders(body: string, signingKey: string | undefined): Record<string, string> {
  const headers = { 'content-type': 'application/json', 'user-agent': 'baton-executor', 'x-inngest-server-kind': 'dev' }
  return signingKey === undefined ? headers : { ...headers, 'x-inngest-signature': signature(body, signingKey) }
}

/** The HTTP request that makes an app's SDK execute a job. */
export function executionCall(baseUrl: string, job: Job, signingKey: string | undefined): Call {
  const useApi = job.run.bytes > LARGEST_INLINE_BYTES
  const body = bodyOf(job, useApi)
  const url = new URL('/api/inngest', baseUrl)
  url.searchParams.set('fnId', job.run.definition.id)
  url.searchParams.set('stepId', job.stepId)
  return {
    url: url.href,
    method: 'POST',
    headers: {
      ...signedHeaders(body, signingKey),
      'x-run-id': job.run.id,
      'x-request-id': job.queueItemId,
      'x-inngest-job-id': job.queueItemId,
    },
    body,
    timeoutMs: REQUEST_TIMEOUT_MS,
  }
}
