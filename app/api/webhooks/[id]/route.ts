import { bind } from '#app/bind'
import { deleteWebhook, getWebhook, patchWebhook } from '#lib/api/webhooks'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(deleteWebhook, getWebhook, patchWebhook)
