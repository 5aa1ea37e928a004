import { retryRuns } from '#lib/api/retry-many'
import { cancelRun, getRun, interruptAgent, listAgentRuns, listRuns, retryRun } from '#lib/api/runs'
import { json, nothing, operation, page, type Resource } from '#lib/api/openapi/describe'
import { exampleLinks, exampleRun, run, runDetails } from '#lib/api/openapi/schemas/run'
import { exampleStopped, retried, stopped } from '#lib/api/openapi/schemas/stop'
import { exampleIds } from '#lib/api/openapi/schemas/words'

const { agentId, runId } = exampleIds
const details = {
  ...exampleRun,
  lastError: null,
  explain: 'The run ended as completed (end_turn) after 2 steps in 1 slice',
  openCalls: [],
  webhooks: [],
  links: exampleLinks,
}
const runPage = page('RunPage', run, 'Runs, newest first unless order=asc', exampleRun)
const stops = {
  200: json(stopped, 'Nothing runs any more, or nothing ran', exampleStopped),
  202: json(stopped, 'The executor has been asked and ends the run with its next commit', { ...exampleStopped, stopped: false }),
}
const kept = ['killed', 'queue_full', 'budget_exceeded', 'template_missing', 'authority_expired', 'run_open', 'nothing_to_retry'] as const

/** Runs: what one message has started. */
export const runs: Resource = {
  tag: 'Runs',
  description: 'A run is what one message has started: it ends once, in one of six states.',
  operations: {
    listRuns: operation(listRuns, { 200: runPage }),
    listAgentRuns: operation(listAgentRuns, { 200: runPage }, { problems: ['agent_not_found'] }),
    getRun: operation(
      getRun,
      {
        200: json(runDetails, 'The run with what explains where it stands', details, ['ETag']),
        304: nothing('It is as the caller knows it', ['ETag']),
      },
      { problems: ['run_not_found'], headers: ['If-None-Match'] },
    ),
    cancelRun: operation(cancelRun, stops, { problems: ['run_not_found'], example: { reason: 'the customer has hung up' } }),
    interruptAgent: operation(interruptAgent, stops, {
      problems: ['agent_not_found', 'run_not_found'],
      example: { reason: 'a new question' },
    }),
    retryRun: operation(
      retryRun,
      { 202: json(run, 'The new run', { ...exampleRun, state: 'queued', retryOf: runId }, ['Location', 'Idempotent-Replayed']) },
      { problems: ['run_not_found', 'agent_not_found', 'conflict', 'idempotency_mismatch', ...kept], headers: ['Idempotency-Key'] },
    ),
    retryRuns: operation(
      retryRuns,
      {
        200: json(
          retried,
          'Which runs go on, and why others do not',
          { data: [{ runId, newRunId: runId, agentId, state: 'queued' }], retried: 1 },
          ['Idempotent-Replayed'],
        ),
      },
      {
        problems: ['idempotency_mismatch'],
        headers: ['Idempotency-Key'],
        example: { filter: { stopReason: 'provider_unavailable' }, limit: 20 },
      },
    ),
  },
}
