import { bind } from '#app/bind'
import { createWebhook, listWebhooks } from '#lib/api/webhooks'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(createWebhook, listWebhooks)
