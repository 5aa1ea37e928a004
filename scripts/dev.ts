import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { StackOptions } from '#local/stack'
import { startUntilStopped } from '#local/until-stopped'

const usage = `Usage: npm run dev [-- options]
  --built          serve the production build (npm run build) instead of next dev
  --servers N      number of server processes, on successive ports (needs --built)
  --data DIR       folder of data, keys and logs (default .baton)
  --port PORT      first port of the servers (default PORT, else 3000; another one if it is taken)
  --real LIST      parts that are real services: supabase,redis,inngest,models`

/** A command line that cannot be understood; its message is for the person who typed it. */
class UsageError extends Error {}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,5}$/.test(text)) return Number(text)
  throw new UsageError(`${name} must be a whole number, not "${text}".`)
}

function parse(): StackOptions {
  const text = { type: 'string' } as const
  const options = {
    built: { type: 'boolean', default: false },
    servers: text,
    data: text,
    port: text,
    real: text,
    help: { type: 'boolean', default: false },
  } as const
  const { values } = (() => {
    try {
      return parseArgs({ options })
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : String(error))
    }
  })()
  if (values.help) throw new UsageError('')
  const servers = wholeNumber('--servers', values.servers)
  const port = wholeNumber('--port', values.port) ?? wholeNumber('PORT', process.env['PORT'])
  const real = (values.real ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  return {
    built: values.built,
    real,
    ...(values.data === undefined ? {} : { dataDir: values.data }),
    ...(servers === undefined ? {} : { servers }),
    ...(port === undefined ? {} : { port }),
  }
}

function checkBuild(options: StackOptions): void {
  if (options.built !== true || existsSync(join(import.meta.dirname, '..', '.next', 'BUILD_ID'))) return
  throw new UsageError('There is no production build. Run `npm run build` first, or leave --built away.')
}

async function main(): Promise<void> {
  const options = parse()
  checkBuild(options)
  process.stdout.on('error', () => undefined) // whoever read the output has gone; the stack goes on

  console.log('starting the local stack')
  const stack = await startUntilStopped({ ...options, envFiles: true }, 0, (line) => console.log(line))
  if (options.real !== undefined && options.real.length > 0) console.log(`real: ${options.real.join(', ')}`)
  console.log(`ready ${stack.info.baseUrls[0]}`)
}

function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof UsageError) console.error(usage)
  process.exit(1)
}

await main().catch(fail)
