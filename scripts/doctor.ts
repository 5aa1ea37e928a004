import { parseArgs } from 'node:util'
import { databaseUrl } from '#lib/env'
import { supabaseRpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'
import { systemClock } from '#lib/system/clock'
import { clockSkew } from '#scripts/doctor/clock'
import { checkConfiguration, checkVersions } from '#scripts/doctor/configuration'
import { checkDeployment } from '#scripts/doctor/deployment'
import { lineOf, type Finding } from '#scripts/doctor/finding'
import { checkInngest } from '#scripts/doctor/inngest'
import { checkModels } from '#scripts/doctor/models'
import { checkDirect, checkPostgres } from '#scripts/doctor/postgres'
import { checkRedis } from '#scripts/doctor/redis'
import { operatorEnvironment } from '#scripts/operator/environment'

const usage = `Usage: npm run doctor [-- --local DIR] [--wait SECONDS]
       npm run doctor -- --url URL --key KEY [--template ID]
  Checks the configuration of this environment (also of .env.local) and every part behind it, or a deployment from outside,
  with two real runs of a template (scripted where it is deployed, else the first one; its model is called and paid).
  --local DIR     the local stack that runs with this data folder (.baton is found by itself)
  --wait SECONDS  how long an event may take to make its round by Inngest (default 20)
  Exit code 0: nothing failed. 1: something did; each line says the cure.`

const marks = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const

/** Prints each finding when it is known, one line each. */
function tell(findings: readonly Finding[]): boolean {
  for (const { area, level, says, cure } of findings)
    console.log(`${marks[level]} ${area.padEnd(13)} ${says}${cure === undefined ? '' : `  ->  ${cure}`}`)
  return findings.every(({ level }) => level !== 'fail')
}

async function here(local: string | undefined, waitMs: number): Promise<boolean> {
  const env = await operatorEnvironment(local)
  let isWell = tell(checkVersions())
  const { config, findings } = checkConfiguration(env)
  isWell = tell(findings) && isWell
  if (config === null) return false
  const store = createStore(supabaseRpc({ ...config.supabase, clock: systemClock() }))
  const postgres = await checkPostgres(store, config)
  isWell = tell(postgres.findings) && isWell
  isWell = tell(await checkDirect(databaseUrl(env))) && isWell
  if (config.redis !== null) isWell = tell(await checkRedis(config.redis)) && isWell
  isWell = tell(await checkInngest(store, config, postgres.facts, waitMs)) && isWell
  isWell = tell(await checkModels(env, config.local, postgres.facts?.providers ?? [])) && isWell
  if (postgres.facts !== null) isWell = tell([clockSkew(postgres.facts.now, config.local)]) && isWell
  return isWell
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      key: { type: 'string' },
      template: { type: 'string' },
      local: { type: 'string' },
      wait: { type: 'string', default: '20' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.log(usage)
  const { url, key, template = null, local } = values
  if ((url === undefined) !== (key === undefined)) throw new TypeError('--url and --key belong together.')
  if (!/^\d{1,4}$/.test(values.wait)) throw new TypeError('--wait is a number of seconds.')
  const isWell =
    url !== undefined && key !== undefined
      ? tell(await checkDeployment({ url, key, template }))
      : await here(local, Number(values.wait) * 1_000)
  console.log(isWell ? '\nNothing failed.' : '\nSomething failed: each line that begins with FAIL says what to do.')
  process.exitCode = isWell ? 0 : 1
}

main().catch((error: unknown) => {
  console.error(lineOf(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 2
})
