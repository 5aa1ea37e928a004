import { bind } from '#app/bind'
import { metrics } from '#lib/api/metrics'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(metrics)
