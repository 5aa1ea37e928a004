import { bind } from '#app/bind'
import { live } from '#lib/api/health'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(live)
