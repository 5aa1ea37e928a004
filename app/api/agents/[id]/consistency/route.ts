import { bind } from '#app/bind'
import { getConsistency } from '#lib/api/consistency'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getConsistency)
