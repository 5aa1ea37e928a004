import { Inngest } from 'inngest'
import { baton } from '#lib/baton'
import { readConfig } from '#lib/env'
import { sdkLogger } from '#lib/queue/queue'

const { inngest } = readConfig()

/** The process's log, which hides secrets; it is made with the services, which every function asks for. */
function tell(level: 'warn' | 'error'): (message: string, fields?: Record<string, unknown>) => void {
  return (message, fields) =>
    void baton().then(
      ({ log }) => log[level](message, fields),
      // Without services there is no work that could be told of: each request answers why.
      () => undefined,
    )
}

/** The Inngest app of this deployment; its id carries the environment's name, so that deployments never take each other's work. */
export const client = new Inngest({
  id: inngest.appId,
  isDev: inngest.dev !== null,
  logger: sdkLogger({ warn: tell('warn'), error: tell('error') }),
  ...(inngest.dev === null ? {} : { baseUrl: inngest.dev }),
  ...(inngest.eventKey === null ? {} : { eventKey: inngest.eventKey }),
  ...(inngest.signingKey === null ? {} : { signingKey: inngest.signingKey }),
})
