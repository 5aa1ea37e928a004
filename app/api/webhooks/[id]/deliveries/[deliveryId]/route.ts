import { bind } from '#app/bind'
import { getDelivery } from '#lib/api/deliveries'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getDelivery)
