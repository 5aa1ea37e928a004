import { continueRun } from '#inngest/functions/continue-run'
import { deliverWebhook } from '#inngest/functions/deliver-webhook'
import { probe } from '#inngest/functions/probe'
import { retention } from '#inngest/functions/retention'
import { sweep } from '#inngest/functions/sweep'
import { readConfig } from '#lib/env'

/** The functions of this deployment. Crons run in production and local mode only: a preview must not sweep on its own. */
export const functions = [continueRun, deliverWebhook, probe, ...(readConfig().cronEnabled ? [sweep, retention] : [])]
