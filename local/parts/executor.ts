import { startExecutor } from '#local/executor/executor'
import { z } from 'zod'

const url = z.string().refine((text) => URL.canParse(text), 'not a URL')
const environmentSchema = z.object({
  EXECUTOR_PORT: z.coerce.number().int().min(1).max(65_535),
  EXECUTOR_APP_URLS: z
    .string()
    .transform((list) =>
      list
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    )
    .pipe(z.array(url).min(1).max(64)),
  EXECUTOR_EVENT_KEY: z.string().min(1).optional(),
  EXECUTOR_SIGNING_KEY: z.string().min(1).optional(),
  EXECUTOR_DATABASE_URL: z.string().min(1).optional(),
})

const log = (line: string): void => {
  process.stderr.write(`[executor] ${line}\n`)
}

// It keeps nothing on disk, so there is nothing to finish.
const stop = (): never => process.exit(0)
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
if (process.send) process.on('disconnect', stop)

const environment = environmentSchema.safeParse(process.env)
if (!environment.success) {
  log(`bad environment: ${z.prettifyError(environment.error)}`)
  process.exit(1)
}
const { EXECUTOR_PORT, EXECUTOR_APP_URLS, EXECUTOR_EVENT_KEY, EXECUTOR_SIGNING_KEY, EXECUTOR_DATABASE_URL } = environment.data
try {
  await startExecutor({
    port: EXECUTOR_PORT,
    appUrls: EXECUTOR_APP_URLS,
    eventKey: EXECUTOR_EVENT_KEY,
    signingKey: EXECUTOR_SIGNING_KEY,
    databaseUrl: EXECUTOR_DATABASE_URL,
    log,
  })
  log(`listening on 127.0.0.1:${EXECUTOR_PORT}`)
} catch (error) {
  log(`could not start: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
}
