import { bind } from '#app/bind'
import { listDeliveries } from '#lib/api/deliveries'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listDeliveries)
