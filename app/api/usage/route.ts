import { bind } from '#app/bind'
import { getUsage } from '#lib/api/usage'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getUsage)
