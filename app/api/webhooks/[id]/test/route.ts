import { bind } from '#app/bind'
import { testWebhook } from '#lib/api/webhooks'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(testWebhook)
