import { Inngest } from 'inngest'
import { readConfig } from '#lib/env'

const { inngest } = readConfig()

/** The Inngest app of this deployment; its id carries the environment's name, so that deployments never take each other's work. */
export const client = new Inngest({
  id: inngest.appId,
  isDev: inngest.dev !== null,
  ...(inngest.dev === null ? {} : { baseUrl: inngest.dev }),
  ...(inngest.eventKey === null ? {} : { eventKey: inngest.eventKey }),
  ...(inngest.signingKey === null ? {} : { signingKey: inngest.signingKey }),
})
