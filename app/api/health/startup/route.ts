import { bind } from '#app/bind'
import { startup } from '#lib/api/health'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(startup)
