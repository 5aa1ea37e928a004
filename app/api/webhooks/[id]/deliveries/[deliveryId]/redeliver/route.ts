import { bind } from '#app/bind'
import { redeliver } from '#lib/api/deliveries'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(redeliver)
