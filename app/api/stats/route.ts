import { bind } from '#app/bind'
import { getStats } from '#lib/api/stats'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getStats)
