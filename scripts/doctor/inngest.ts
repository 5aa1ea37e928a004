import { randomUUID } from 'node:crypto'
import type { Config } from '#lib/core/config'
import type { DoctorFacts } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import { eventNames } from '#lib/queue/events'
import { ask, lineOf, objectOf, teller, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('inngest')

/** The clouds address for events; a dev server has one of its own. */
const cloud = 'https://inn.gs'
const minuteMs = 60_000

/** Sends an event and waits until the function that it triggers has written to the database: the whole round by Inngest and the deployment. */
export async function checkInngest(store: Store, config: Config, facts: DoctorFacts | null, waitMs: number): Promise<Finding[]> {
  const { inngest, environment, baseUrl } = config
  const findings = baseUrl === null ? [] : [await served(baseUrl)]
  const probe = randomUUID()
  if (facts !== null) await store.doctor({ environment, ask: probe })
  const dev = inngest.dev !== null && inngest.dev.startsWith('http') ? inngest.dev : inngest.dev === null ? null : 'http://127.0.0.1:8288'
  const target = `${dev ?? cloud}/e/${encodeURIComponent(inngest.eventKey ?? 'none')}`
  try {
    const body = JSON.stringify({ name: eventNames.probe, id: probe, data: { probe } })
    const sent = await ask(target, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    if (sent.status === 401 || sent.status === 403 || sent.status === 404)
      return [
        ...findings,
        fail('Inngest refuses the event key', 'Copy INNGEST_EVENT_KEY of this environment from Inngest, Manage, Event Keys.'),
      ]
    if (sent.status !== 200)
      return [
        ...findings,
        fail(
          `Inngest answers ${sent.status} to an event: ${sent.text.slice(0, 120)}`,
          'See status.inngest.com; continuations are kept in the outbox meanwhile.',
        ),
      ]
  } catch (error) {
    return [
      ...findings,
      fail(
        `Inngest does not take events: ${lineOf(error)}`,
        dev === null
          ? 'See status.inngest.com; continuations are kept in the outbox meanwhile.'
          : 'Start it: npm run dev, or npx inngest-cli dev.',
      ),
    ]
  }
  findings.push(ok('Inngest takes events'))
  if (facts === null) return findings
  findings.push(await round(store, environment, probe, waitMs, baseUrl))
  return [...findings, ...ages(config, facts)]
}

/** What the deployment itself says at the address that Inngest calls. */
async function served(baseUrl: string): Promise<Finding> {
  const address = `${baseUrl}/api/inngest`
  try {
    const answer = await ask(address, {}, 15_000)
    const { function_count: functions } = objectOf(answer.text)
    if (answer.status === 401 && !('code' in objectOf(answer.text)))
      return fail(
        `${address} is behind Vercel's deployment protection (401)`,
        "Switch it off for production, or give Inngest its bypass: add ?x-vercel-protection-bypass=SECRET to the app's URL there (docs/deploy.md).",
      )
    if (answer.status !== 200)
      return fail(`${address} answers ${answer.status}`, 'Deploy the app, and look at its log; a 503 names the variables that are missing.')
    return ok(`${address} is served${typeof functions === 'number' ? ` with ${functions} functions` : ''}`)
  } catch (error) {
    return fail(`${address} is not reachable: ${lineOf(error)}`, 'Deploy the app, or set BATON_BASE_URL to where it is.')
  }
}

async function round(store: Store, environment: string, probe: string, waitMs: number, baseUrl: string | null): Promise<Finding> {
  const from = performance.now()
  while (performance.now() - from < waitMs) {
    const { answered } = await store.doctor({ environment })
    if (answered === probe) return ok(`an event made the round trip in ${Math.round(performance.now() - from)} ms`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  return fail(
    `an event was taken and came to no function in ${Math.round(waitMs / 1_000)} s: the app is not registered, or Inngest cannot call it`,
    `Sync the app at Inngest (Apps, Sync new app) with ${baseUrl ?? 'the address of the deployment'}/api/inngest; check INNGEST_SIGNING_KEY and the deployment protection.`,
  )
}

/** What the crons should have moved. */
function ages(config: Config, facts: DoctorFacts): Finding[] {
  if (!config.cronEnabled) return []
  const { lastSweepAgeMs: sweep, prunedAgeMs: pruned } = facts
  const late = Math.max(4 * config.sweepEveryMs, minuteMs)
  const findings = [
    sweep === null
      ? warn('the sweeper has not run yet', 'It comes with its cron; if this stays, sync the app at Inngest again.')
      : sweep > late
        ? fail(
            `the sweeper ran last ${Math.round(sweep / minuteMs)} minutes ago`,
            'Look at the function sweep at Inngest: paused, failing, or over the executions of the plan.',
          )
        : ok(`the sweeper ran ${Math.round(sweep / 1_000)} s ago`),
  ]
  if (pruned !== null && pruned > 3 * 60 * minuteMs)
    findings.push(warn(`retention ran last ${Math.round(pruned / minuteMs / 60)} hours ago`, 'Look at the function retention at Inngest.'))
  return findings
}
