import { bind } from '#app/bind'
import { metricsJson } from '#lib/api/metrics'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(metricsJson)
