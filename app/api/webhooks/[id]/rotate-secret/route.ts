import { bind } from '#app/bind'
import { rotateWebhookSecret } from '#lib/api/webhooks'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(rotateWebhookSecret)
