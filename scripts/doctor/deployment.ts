import { randomUUID } from 'node:crypto'
import { ask, lineOf, objectOf, teller, textOf, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('deployment')

/** Which deployment, with which key; `template` of the real run (its model is called and paid). */
export interface Target {
  url: string
  key: string
  template: string | null
}

/** Makes its checks from outside: health, the key, the clock, and one real run in the request and one in the background. */
export async function checkDeployment({ url, key, template }: Target): Promise<Finding[]> {
  const base = url.replace(/\/+$/, '')
  const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}, ms = 70_000) =>
    ask(
      base + path,
      {
        method,
        headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      ms,
    )
  const findings: Finding[] = []
  try {
    const { hostname, protocol } = new URL(base)
    if (protocol !== 'https:' && !['localhost', '127.0.0.1', '::1', '[::1]'].includes(hostname))
      findings.push(fail('the key would travel without TLS', 'Use the https address.'))
    if (findings.length > 0) return findings
    const health = await ask(`${base}/api/health`, {}, 20_000)
    if (health.status === 401 && !health.text.includes('"code"'))
      return [
        fail(
          "Vercel's deployment protection answers instead of Baton (401)",
          'Switch it off for production, or use the production domain (docs/deploy.md).',
        ),
      ]
    if (health.status === 404) return [fail(`${base} serves no Baton`, 'Check the address, without a path.')]
    findings.push(
      health.status === 200
        ? ok('health is 200')
        : fail(
            `health answers ${health.status}: ${health.text.slice(0, 200)}`,
            'A 503 names what is missing or away: see its code in docs/errors.md.',
          ),
    )
    findings.push(...skew(health.headers.get('date')))
    const list = await call('GET', '/api/agents?limit=1')
    if (list.status !== 200)
      return [
        ...findings,
        fail(
          `the key is refused: ${describe(list)}`,
          'Use a key with agents:read and agents:run of this very environment (npm run bootstrap -- --new-key).',
        ),
      ]
    findings.push(ok('the key is accepted'))
    return [...findings, ...(await realRuns(call, template))]
  } catch (error) {
    return [...findings, fail(`${base} is not reachable: ${lineOf(error)}`, 'Check the address, DNS and whether the deployment is ready.')]
  }
}

type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
  ms?: number,
) => Promise<{ status: number; text: string }>

const describe = ({ status, text }: { status: number; text: string }): string => {
  const { code, detail } = objectOf(text)
  return `${status} ${textOf(code)} ${textOf(detail ?? text).slice(0, 200)}`.trim()
}

/** Receivers of webhooks and providers of tokens allow minutes; a clock that is further off is a fault of the machine. */
function skew(date: string | null): Finding[] {
  if (date === null || Number.isNaN(Date.parse(date))) return []
  const seconds = Math.round(Math.abs(Date.parse(date) - Date.now()) / 1_000)
  return seconds > 60
    ? [fail(`the clocks differ by ${seconds} s: signatures and tokens may be refused`, 'Set the clock of this machine by NTP.')]
    : [ok(`the clocks differ by ${seconds} s`)]
}

/** Answers a message in the request, then one in the background, and deletes the agent. */
async function realRuns(call: Call, named: string | null): Promise<Finding[]> {
  const agent = `doctor-${randomUUID()}`
  const path = `/api/agents/${agent}`
  const findings: Finding[] = []
  const send = (template: string, prefer: string) =>
    call('POST', `${path}/messages`, { message: 'Answer with one word.', template }, { prefer })
  try {
    let template = named ?? 'scripted'
    let first = await send(template, 'wait=25')
    const known = objectOf(first.text)['templates']
    if (objectOf(first.text)['code'] === 'template_unknown' && named === null && Array.isArray(known) && known.length > 0) {
      template = textOf(known[0])
      first = await send(template, 'wait=25')
    }
    if (first.status !== 200 && first.status !== 202) {
      const cure = 'See the code in docs/errors.md; name another template with --template.'
      findings.push(fail(`a run of ${template} failed: ${describe(first)}`, cure))
      return findings
    }
    findings.push(ok(`a message to ${template} was answered with ${first.status}`))
    const second = await send(template, 'respond-async')
    const runId = objectOf(second.text)['runId']
    const isTaken = second.status === 202 && typeof runId === 'string'
    findings.push(
      isTaken
        ? await background(call, runId)
        : fail(`a message in the background was refused: ${describe(second)}`, 'See the code in docs/errors.md.'),
    )
    return findings
  } finally {
    const deleted = await call('DELETE', path).catch(() => null) // told below
    if (deleted?.status !== 204 && deleted?.status !== 404) findings.push(warn(`the agent ${agent} could not be deleted`, `DELETE ${path}`))
  }
}

async function background(call: Call, runId: string): Promise<Finding> {
  const from = performance.now()
  let last = ''
  while (performance.now() - from < 60_000) {
    const reply = await call('GET', `/api/runs/${runId}?wait=10`)
    const run = objectOf(reply.text)
    last = textOf(run['explain'] ?? describe(reply))
    if (run['state'] === 'completed')
      return ok(`a run in the background ended after ${Math.round((performance.now() - from) / 1_000)} s: Inngest is at work`)
    if (typeof run['endedAt'] === 'string')
      return fail(`a run in the background ended badly: ${last}`, 'See its stop reason in docs/errors.md.')
  }
  return fail(
    `a run in the background did not end in 60 s: ${last}`,
    'Sync the app at Inngest with /api/inngest of this address, and look at the function agent-continue there.',
  )
}
